import type { JSX } from 'preact'

import type { ChartArrow, ChartBox, ChartLayout, ChartStart } from '../../../chart-layout.ts'
import { rate, short } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { familyOf, isOwn, keyOf, roomOn, roundedPath, type Pulse } from './chart-model.ts'

import './chart.css'

export interface ChartViewProps {
  readonly layout: ChartLayout
  /** What a screen reader says instead of the picture. */
  readonly label: string
  /** Sessions in each box. Absent: the chart of one session. */
  readonly counts?: ReadonlyMap<string, number>
  /** Boxes that are lit. */
  readonly lit?: ReadonlySet<string>
  /** Boxes that another connection of the same client is in. */
  readonly ghost?: ReadonlySet<string>
  /** Steps per second by `arrowKey`. */
  readonly rates?: ReadonlyMap<string, number>
  readonly pulses?: readonly Pulse[]
}

/** Slower than once a second is a drop now and then, a thousand a second a quick stream; between them, by magnitude. */
function flowSeconds(perSecond: number): number {
  return Math.max(0.5, 2.6 - Math.log10(Math.max(perSecond, 0.1)) * 0.6)
}

function Arrow({
  arrow,
  perSecond,
  pulses,
}: {
  readonly arrow: ChartArrow
  readonly perSecond: number
  readonly pulses: readonly Pulse[]
}): JSX.Element {
  const path = roundedPath(arrow.points)
  const { label } = arrow
  const middle = label === null ? roomOn(arrow.points) : undefined
  const rateAt =
    label === null ? middle && { x: middle.x, y: middle.y + 4 } : { x: label.x + label.width / 2, y: label.y + 25 }
  return (
    <g class={`arrow family-${familyOf(arrow.to)} ${perSecond > 0 ? 'flows' : ''}`} data-arrow={keyOf(arrow)}>
      <title>{plainOf([...new Set(arrow.events.map((event) => event.label))].join('\n'))}</title>
      <path class="arrow-line" d={path} marker-end="url(#arrow-head)" />
      {perSecond > 0 ? (
        <path class="arrow-flow" d={path} style={{ '--seconds': `${flowSeconds(perSecond)}s` }} />
      ) : null}
      {pulses.map(({ sequence }) => (
        <path key={sequence} class="arrow-pulse" d={path} pathLength={100} />
      ))}
      {label === null ? null : (
        <text class="arrow-label" x={label.x + label.width / 2} y={label.y + 10}>
          {label.text}
        </text>
      )}
      {perSecond > 0 && rateAt ? (
        <text class="arrow-label arrow-rate" x={rateAt.x} y={rateAt.y}>
          {rate(perSecond)}/s
        </text>
      ) : null}
    </g>
  )
}

function Box({ box, props }: { readonly box: ChartBox; readonly props: ChartViewProps }): JSX.Element {
  const { x, y, width, height, path, name, type } = box
  const depth = path.split('.').length
  const isLeaf = type === 'atomic' || type === 'final'
  const count = props.counts?.get(path)
  const loops = props.rates?.get(`${path}>${path}`) ?? 0
  const isLit = props.lit === undefined ? (count ?? 0) > 0 : props.lit.has(path)
  const isTopLeaf = isLeaf && depth === 1
  const classes = ['box', `family-${familyOf(path)}`, `depth-${Math.min(depth, 3)}`, `box-${type}`]
  if (isLit) classes.push('lit')
  if (isOwn(path)) classes.push('own')
  if (props.ghost?.has(path)) classes.push('ghost')
  return (
    <g class={classes.join(' ')} data-state={path} data-lit={isLit ? '' : undefined}>
      {box.loops.length === 0 ? null : (
        <title>{plainOf(`back into it: ${[...new Set(box.loops.map(({ label }) => label))].join(', ')}`)}</title>
      )}
      <rect class="box-edge" x={x} y={y} width={width} height={height} rx={depth === 1 ? 9 : 6} />
      {type === 'final' ? (
        <rect class="box-inner" x={x + 3.5} y={y + 3.5} width={width - 7} height={height - 7} rx={6} />
      ) : null}
      <text class="box-name" x={x + 11} y={y + (isTopLeaf ? 22 : isLeaf ? height / 2 + 4.5 : 22)}>
        {plainOf(name, 64)}
        {isOwn(path) && !(box.parent !== null && isOwn(box.parent)) ? <tspan class="box-own"> yours</tspan> : null}
      </text>
      {count === undefined ? null : (
        <text
          class={`box-count ${count === 0 ? 'zero' : ''}`}
          x={isTopLeaf ? x + 11 : x + width - 10}
          y={y + (isTopLeaf ? height - 12 : isLeaf ? height / 2 + 5 : 22)}
          text-anchor={isTopLeaf ? 'start' : 'end'}
        >
          {short(count)}
        </text>
      )}
      {loops > 0 ? (
        <text class="box-loops" x={x + 24 + name.length * (depth === 1 ? 8.4 : 7.4)} y={y + 22}>
          ↻ {rate(loops)}/s
        </text>
      ) : null}
    </g>
  )
}

/** The dot from which a machine starts; on that of the whole machine new sessions flow in. */
function Start({ to, points, perSecond }: ChartStart & { readonly perSecond: number }): JSX.Element {
  const path = roundedPath(points)
  return (
    <g class={`start family-${familyOf(to)} ${perSecond > 0 ? 'flows' : ''}`}>
      <circle cx={points[0]?.x} cy={points[0]?.y} r="3.5" />
      <path class="arrow-line" d={path} marker-end="url(#arrow-head)" />
      {perSecond > 0 ? (
        <path class="arrow-flow" d={path} style={{ '--seconds': `${flowSeconds(perSecond)}s` }} />
      ) : null}
    </g>
  )
}

/** The chart of a machine as a live picture. The list beside it says the same in words, for who cannot see it. */
export function ChartView(props: ChartViewProps): JSX.Element {
  const { layout, label, rates, pulses = [] } = props
  return (
    <svg
      class={`chart ${props.counts === undefined ? 'of-one' : 'of-all'}`}
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      role="img"
      aria-label={label}
      style={{ '--chart-width': `${layout.width}px` }}
    >
      <defs>
        <marker
          id="arrow-head"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="7"
          markerHeight="7"
          orient="auto"
          markerUnits="userSpaceOnUse"
        >
          <path d="M0 0.8L7.5 4L0 7.2z" class="arrow-head" />
        </marker>
      </defs>
      {layout.states.map((box) => (
        <Box key={box.path} box={box} props={props} />
      ))}
      {layout.starts.map(({ to, points }) => (
        <Start key={to} to={to} points={points} perSecond={rates?.get(`>${to}`) ?? 0} />
      ))}
      {layout.arrows.map((arrow) => {
        const key = keyOf(arrow)
        return (
          <Arrow
            key={key}
            arrow={arrow}
            perSecond={rates?.get(key) ?? 0}
            pulses={pulses.filter(({ keys }) => keys.includes(key))}
          />
        )
      })}
    </svg>
  )
}
