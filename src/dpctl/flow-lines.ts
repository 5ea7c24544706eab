/*
 * Flows as lines of `ovs-dpctl dump-flows`, many at a time. What flows have in common is formatted once: their lines have forms (flow-form.ts), made of the messages
 * that tell of the flows. A flow that has no form, or no message, is formatted as flowText does.
 *
 * Before it: a dump, or one flow that was asked for. After it: the context's output. One object a dump; of the messages it keeps no views but the last datagram.
 */
import type { FlowMessages } from '../dpif/flow-messages.ts';
import type { DpifFlow } from '../dpif/types.ts';
import { formatActions } from '../odp/actions-text.ts';
import { LineForms } from '../odp/line-forms.ts';
import { TextBytes } from '../odp/text-bytes.ts';
import type { DpctlContext } from './context.ts';
import { makeFlowForm, type PutActions } from './flow-form.ts';
import { type FlowTextOptions, flowText } from './flow-text.ts';

/** As much as a pipe holds. */
const PIECE_SIZE = 64 * 1024;
/** Lists of actions whose text is kept: flows have few. */
const LISTS_MAX = 16;

interface ActionList {
  readonly bytes: Uint8Array;
  readonly text: Uint8Array;
}

export class FlowLines {
  readonly #options: FlowTextOptions;
  readonly #forms: LineForms;
  readonly #out = new TextBytes();
  /** Lists of actions and their texts, the last ones used first. */
  readonly #lists: ActionList[] = [];

  constructor(options: FlowTextOptions) {
    const putActions: PutActions = (out, bytes, at, size) => out.putBytes(this.#actions(bytes, at, size));
    this.#options = options;
    this.#forms = new LineForms((message) => makeFlowForm(message, options, putActions));
  }

  /** Adds the line of a flow. */
  add(flow: DpifFlow): void {
    this.#out.putText(flowText(flow, this.#options));
  }

  /** Adds the line of the flow that the message at hand is about. */
  addMessage(messages: FlowMessages): void {
    if (this.#forms.put(this.#out, messages.bytes, messages.offset, messages.size)) return;
    const flow = messages.flow();
    if (flow !== undefined) this.add(flow);
  }

  /** Adds a line that is no flow. */
  addText(text: string): void {
    this.#out.putText(text);
  }

  /** Writes the lines that were added since the last time, if there are enough of them, or `all`. */
  writeTo(context: DpctlContext, all = true): void {
    if (all || this.#out.size >= PIECE_SIZE) context.writeBytes(this.#out.takeBytes());
  }

  /** Text of the list of actions in the bytes. */
  #actions(bytes: Uint8Array, at: number, size: number): Uint8Array {
    const lists = this.#lists;
    for (let i = 0; i < lists.length; i++) {
      const list = lists[i];
      if (!isAt(bytes, at, size, list.bytes)) continue;
      if (i > 0) [lists[i], lists[i - 1]] = [lists[i - 1], list];
      return list.text;
    }
    const { names } = this.#options;
    const list = bytes.slice(at, at + size);
    const text = Buffer.from(formatActions(list, names === undefined ? {} : { names }));
    if (lists.length === LISTS_MAX) lists.pop();
    lists.unshift({ bytes: list, text });
    return text;
  }
}

function isAt(bytes: Uint8Array, at: number, size: number, list: Uint8Array): boolean {
  if (size !== list.length) return false;
  for (let i = 0; i < size; i++) if (bytes[at + i] !== list[i]) return false;
  return true;
}
