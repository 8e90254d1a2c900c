/** What a picture says to those who do not see it. */
export const pictureTitles = {
  session: 'The states of a statemq session and the events that lead from one to another',
  will: 'The states of a will and the events that lead from one to another',
  broker: 'The states of a statemq broker and the events that lead from one to another',
} as const
