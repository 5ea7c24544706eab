/*
 * Messages of JSON-RPC 1.0, in the form that Open vSwitch's programs send and accept: an object of `method`, `params`, `result`, `error` and `id`
 * and nothing else; what is null counts as absent. Before it: json-values.ts. After it: unixctl-server.ts, unixctl-client.ts. Pure.
 */

/** Whatever JSON value the client chose; the reply carries it back. */
export type RequestId = string | number | boolean | object;

export type JsonRpcMessage =
  | { kind: 'request'; method: string; params: readonly unknown[]; id: RequestId }
  | { kind: 'notification'; method: string; params: readonly unknown[] }
  | { kind: 'reply'; result: unknown; id: RequestId }
  | { kind: 'error'; error: unknown; id: RequestId };

const MEMBERS: ReadonlySet<string> = new Set(['method', 'params', 'result', 'error', 'id']);

/** The message that a value is, or why it is none. */
export function readMessage(value: unknown): JsonRpcMessage | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'a message is a JSON object';
  const stranger = Object.keys(value).find((name) => !MEMBERS.has(name));
  if (stranger !== undefined) return `a message has no member "${stranger}"`;
  const { method, params, result, error, id } = value as Record<string, unknown>;
  const isReply = isPresent(result) || isPresent(error);
  if (isReply) return readReply(result, error, id, isPresent(method) || isPresent(params));
  if (typeof method !== 'string') return 'a request has a string as its method';
  if (!Array.isArray(params)) return 'a request has an array of params';
  return isPresent(id) ? { kind: 'request', method, params, id } : { kind: 'notification', method, params };
}

function readReply(result: unknown, error: unknown, id: unknown, asks: boolean): JsonRpcMessage | string {
  if (asks) return 'a message is a request or a reply, not both';
  if (!isPresent(id)) return 'a reply has the id of its request';
  if (isPresent(result) && isPresent(error)) return 'a reply has a result or an error, not both';
  return isPresent(error) ? { kind: 'error', error, id } : { kind: 'reply', result, id };
}

function isPresent(value: unknown): value is RequestId {
  return value !== undefined && value !== null;
}

export function requestText(method: string, params: readonly string[], id: number): string {
  return JSON.stringify({ id, method, params });
}

export function replyText(id: RequestId, text: string, failed: boolean): string {
  return JSON.stringify(failed ? { error: text, id } : { error: null, id, result: text });
}
