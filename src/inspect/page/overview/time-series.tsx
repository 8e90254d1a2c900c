import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'

import { moment } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'
import { theme } from '../shell/theme.ts'

import 'uplot/dist/uPlot.min.css'

export interface Series {
  readonly name: string
  /** A colour of base.css. */
  readonly colour: '--online-edge' | '--offline-edge' | '--decide-edge' | '--end-edge' | '--bad' | '--begin-edge'
  readonly values: readonly (number | null)[]
}

export interface TimeSeriesProps {
  readonly title: string
  /** Seconds since the epoch. */
  readonly times: readonly number[]
  readonly series: readonly Series[]
  /** Whether there is nothing between 0 and 1. */
  readonly isWhole?: boolean
  /** A value with its unit. */
  readonly format: (value: number) => string
}

const height = 132
const hour = 3_600
const fiveMinutes = 300

/** 1, 2, 5, 10, 20 … */
const wholeSteps = Array.from({ length: 27 }, (_, index) => [1, 2, 5][index % 3]! * 10 ** Math.floor(index / 3))

/** The hour until the last sample; less while there is less, so that what is there can be seen. */
function lastHour(first: number | null, last: number | null): [number, number] {
  const end = last === null || last === 0 ? Date.now() / 1_000 : last
  const start = first === null || first === 0 ? end - hour : Math.min(first, end - fiveMinutes)
  return [Math.max(start, end - hour), end]
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

function optionsFor(
  { series, format, isWhole = false }: TimeSeriesProps,
  width: number,
  onCursor: (index: number | null) => void,
): uPlot.Options {
  const [quiet, line] = [colour('--quiet'), colour('--line')]
  const axis = { stroke: quiet, font: '11px "Plex Sans", sans-serif', ticks: { show: false }, border: { show: false } }
  return {
    width,
    height,
    padding: [10, 18, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'last-hour' }, drag: { x: false, y: false }, points: { size: 7 }, y: false },
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
    scales: {
      x: { time: true, range: (_, min, max) => lastHour(min, max) },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        space: 70,
        grid: { show: false },
        values: (_, times) => times.map((time) => new Date(time * 1_000).toTimeString().slice(0, 5)),
      },
      {
        ...axis,
        ...(isWhole ? { incrs: wholeSteps } : {}),
        size: 58,
        space: 34,
        gap: 4,
        grid: { stroke: line, width: 1 },
        values: (_, values) => values.map((value) => format(value)),
      },
    ],
    series: [
      {},
      ...series.map(({ colour: name }, index) => ({
        stroke: colour(name),
        width: 1.6,
        points: { show: false },
        spanGaps: false,
        ...(index === 0 ? { fill: `${colour(name)}22` } : {}),
      })),
    ],
  }
}

function dataOf({ times, series }: TimeSeriesProps): uPlot.AlignedData {
  return [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData
}

/** What the chart shows at one time, or now: the legend, and what a screen reader says. */
function Legend(props: TimeSeriesProps & { readonly index: number | null }): JSX.Element {
  const { times, series, format } = props
  const index = props.index === null || props.index >= times.length ? times.length - 1 : props.index
  const time = times[index]
  return (
    <p class="legend" aria-live="off">
      {series.map(({ name, colour: variable, values }) => (
        <span key={name}>
          <i style={{ background: `var(${variable})` }} aria-hidden="true" />
          {series.length === 1 ? '' : `${name} `}
          <b>{values[index] === undefined || values[index] === null ? '–' : format(values[index])}</b>
        </span>
      ))}
      <time class="quiet">
        {props.index === null || time === undefined ? 'now' : moment(time * 1_000, nowMs.peek())}
      </time>
    </p>
  )
}

function summaryOf({ title, series, format }: TimeSeriesProps): string {
  const parts = series.map(({ name, values }) => {
    const known = values.filter((value) => value !== null)
    if (known.length === 0) return `${name}: nothing known`
    return `${name}: now ${format(known.at(-1)!)}, at most ${format(Math.max(...known))}`
  })
  return `${title} in the last hour. ${parts.join('. ')}. Arrow keys read it step by step.`
}

function valuesAt({ times, series, format }: TimeSeriesProps, index: number): string {
  const time = times[index]
  if (time === undefined) return 'nothing known'
  const values = series.map(({ name, values: all }) => `${name} ${format(all[index] ?? 0)}`)
  return `${moment(time * 1_000, nowMs.peek())}: ${values.join(', ')}`
}

/** A minute or so with the larger keys. */
const steps: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageUp: 12,
  PageDown: -12,
  Home: -Infinity,
  End: Infinity,
}

/** One small chart of the last hour. The arrow keys move its cursor, and so those of its neighbours. */
export function TimeSeries(props: TimeSeriesProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [index, setIndex] = useState<number | null>(null)
  const shown = theme.value

  useEffect(() => {
    const { current } = box
    if (!current) return undefined
    const made = new uPlot(optionsFor(props, current.clientWidth, setIndex), dataOf(props), current)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: current.clientWidth, height }))
    observer.observe(current)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [shown, props.series.length])

  useEffect(() => plot.current?.setData(dataOf(props)), [props.times, props.series])

  function step(event: KeyboardEvent): void {
    const by = steps[event.key]
    const { current } = plot
    if (by === undefined || !current || props.times.length === 0) return
    event.preventDefault()
    const next = Math.min(props.times.length - 1, Math.max(0, (index ?? props.times.length) + by))
    current.setCursor({ left: current.valToPos(props.times[next]!, 'x'), top: 10 })
  }

  const at = index ?? props.times.length - 1
  return (
    <figure class="time-series">
      <figcaption>
        <h3>{props.title}</h3>
        <Legend {...props} index={index} />
      </figcaption>
      <div
        ref={box}
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={summaryOf(props)}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, props.times.length - 1)}
        aria-valuenow={Math.max(0, at)}
        aria-valuetext={valuesAt(props, at)}
        onKeyDown={step}
      />
    </figure>
  )
}
