import type { FilterExpression, FilterValue } from './ast.ts'
import { globSteps } from './glob.ts'

const RESERVED = new Set(['all', 'not', 'has', 'hasroles', 'and', 'or'])

/** The text of a filter: what `parseFilter` reads as the same expression. */
export function formatFilter(expression: FilterExpression): string {
  switch (expression.type) {
    case 'all':
      return 'all'
    case 'not':
      return `not ${formatOperand(expression.operand, 'not')}`
    case 'and':
    case 'or':
      return expression.operands.map((operand) => formatOperand(operand, expression.type)).join(` ${expression.type} `)
    case 'has':
      return `has ${formatKey(expression.key)}`
    case 'hasRoles':
      return `hasRoles [${expression.roles.map(quote).join(', ')}]`
    case 'is':
    case 'ne':
      return `${formatKey(expression.key)} ${expression.type} ${formatValue(expression.value)}`
    case 'in':
      return `${formatKey(expression.key)} in [${expression.values.map(formatValue).join(', ')}]`
    case 'like':
      return `${formatKey(expression.key)} like ${formatPattern(expression.pattern)}`
    case 'compare':
      return `${formatKey(expression.key)} ${expression.comparator} ${formatValue(expression.value)}`
  }
}

/** In parentheses where it would otherwise be read into what stands around it. */
function formatOperand(operand: FilterExpression, parent: 'not' | 'and' | 'or'): string {
  const isJoined = operand.type === 'or' || (operand.type === 'and' && parent !== 'or')
  return isJoined ? `(${formatFilter(operand)})` : formatFilter(operand)
}

function formatKey(key: string): string {
  return /[<>]/.test(key) || RESERVED.has(key.toLowerCase()) ? quote(key) : key
}

function formatValue(value: FilterValue): string {
  return typeof value === 'string' ? quote(value) : String(value)
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}

function formatPattern(pattern: string): string {
  const steps = globSteps(pattern).map((step) => {
    if (step.type === 'any') return '*'
    if (step.type === 'one') return '?'
    return step.text.replace(/^['\\*?]$/, '\\$&')
  })
  return `'${steps.join('')}'`
}
