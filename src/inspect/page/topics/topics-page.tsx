import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'

import { Empty } from '../parts/states.tsx'
import { goTo, href } from '../shell/router.ts'
import { MessageView } from './message-view.tsx'
import { TapView } from './tap-view.tsx'
import { useTopicTree } from './topic-tree.ts'
import { TreeView } from './tree-view.tsx'

import '../jobs/jobs.css'
import './topics.css'

function show(words: Readonly<Record<string, string>>): void {
  goTo(href('topics', [], words), { replace: true })
}

/** Goes to a topic that one knows, without opening one level after the other. */
function TopicForm({
  topic,
  onTopic,
}: {
  readonly topic: string
  readonly onTopic: (topic: string) => void
}): JSX.Element {
  const [text, setText] = useState(topic)
  useEffect(() => setText(topic), [topic])
  return (
    <form
      class="topic-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (text !== '') onTopic(text)
      }}
    >
      <input
        type="text"
        aria-label="Topic"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit">Show</button>
    </form>
  )
}

function Retained({ topic }: { readonly topic: string | null }): JSX.Element {
  const { lines, isEmpty, setLevel, reveal, more, reload } = useTopicTree()
  const select = useCallback((chosen: string) => show({ topic: chosen }), [])
  useEffect(() => {
    if (topic !== null) reveal(topic)
  }, [topic, reveal])
  if (isEmpty && topic === null)
    return (
      <Empty title="Nothing is retained">
        A message that is published with RETAIN stays here, the last one of each topic.
      </Empty>
    )
  return (
    <div class="retained">
      <div class="retained-tree">
        <div class="row">
          <TopicForm topic={topic ?? ''} onTopic={select} />
          <button type="button" class="link" onClick={reload}>
            Refresh
          </button>
        </div>
        <TreeView lines={lines} selected={topic} onSelect={select} onLevel={setLevel} onMore={more} />
      </div>
      <div class="retained-message" aria-live="polite">
        {topic === null ? (
          <Empty title="Choose a topic">A level with a size beside it has a message.</Empty>
        ) : (
          <MessageView key={topic} topic={topic} onDeleted={reload} />
        )}
      </div>
    </div>
  )
}

/** Retained messages as a tree, and messages as they pass. */
export function TopicsPage({ search }: { readonly search: URLSearchParams }): JSX.Element {
  const isTap = search.has('tap')
  const filter = search.get('tap') || undefined
  const rate = Number(search.get('rate') ?? 20)
  return (
    <section class="topics">
      <h1>Topics</h1>
      <nav class="tabs" aria-label="Ways to look at topics">
        <a href={href('topics')} aria-current={isTap ? undefined : 'page'}>
          Retained
        </a>
        <a href={href('topics', [], { tap: '' })} aria-current={isTap ? 'page' : undefined}>
          Live tap
        </a>
      </nav>
      {isTap ? (
        <TapView
          filter={filter}
          rate={[5, 20, 50, 200].includes(rate) ? rate : 20}
          onTap={(next, nextRate) => show({ tap: next ?? '', ...(nextRate === 20 ? {} : { rate: String(nextRate) }) })}
        />
      ) : (
        <Retained topic={search.get('topic')} />
      )}
    </section>
  )
}
