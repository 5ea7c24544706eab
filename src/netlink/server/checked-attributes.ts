/*
 * The attributes of a request against its operation's policy: their values, or the refusal that the kernel would give. Before it: the dispatcher,
 * when headers and permission are in order. After it: the handler, or an extended acknowledgement.
 */
import * as C from '../../../assembly/constants.ts';
import { NLA_HDRLEN } from '../constants.ts';
import type { Policy } from '../policy.ts';
import { type Refusal, validateAttributes } from '../policy-validate.ts';
import { parseAttributes } from '../policy-values.ts';
import type { Outcome } from './acknowledge.ts';
import type { Operation, Strictness } from './family.ts';
import { outcomeOf } from './outcome.ts';
import { ruleAt } from './policy-attribute.ts';

const MODES: Readonly<Record<Strictness | 'none', number>> = {
  strict: C.NL_VALIDATE_STRICT,
  liberal: C.NL_VALIDATE_LIBERAL,
  none: C.NL_VALIDATE_LIBERAL,
};
/** Refusals that say nothing of a rule. */
const WITHOUT_RULE: ReadonlySet<number> = new Set([C.REFUSED_UNKNOWN, C.REFUSED_UNSUPPORTED, C.REFUSED_ARRAY_ELEMENT]);
const LEFTOVER = 'bytes leftover after parsing attributes';

export type CheckedAttributes =
  | { readonly values: unknown; readonly warning: string | undefined; readonly refusal?: undefined }
  | { readonly refusal: Outcome };

/** Checks and reads the attributes of `message` from `offset` on. Offsets in a refusal count from the start of the message. */
export function checkAttributes(
  { policy, validate = 'strict', validateDump = validate }: Operation<unknown>,
  message: Uint8Array,
  offset: number,
  isDump: boolean,
): CheckedAttributes {
  if (policy === undefined) return { values: {}, warning: undefined };
  const strictness = isDump ? validateDump : validate;
  const refusal = validateAttributes(policy, message, offset, message.length - offset, 0, MODES[strictness]);
  const end = attributesEnd(message, offset);
  const warning = end < message.length ? LEFTOVER : undefined;
  if (refusal !== undefined && strictness === 'none') return { values: {}, warning };
  if (refusal !== undefined) return { refusal: outcomeOfRefusal(refusal, policy, message, offset) };
  try {
    return { values: parseAttributes(policy, message, offset, end - offset, 0), warning };
  } catch (error) {
    return { refusal: outcomeOf(error) };
  }
}

function outcomeOfRefusal(refusal: Refusal, policy: Policy, message: Uint8Array, start: number): Outcome {
  const { errno, message: text, offset, missingType, missingNest, reason } = refusal;
  const told = offset !== undefined && !WITHOUT_RULE.has(reason);
  const rule = told ? ruleAt(policy, message, start, message.length, offset) : undefined;
  return { errno, message: text, offset, missingType, missingNest, rule };
}

/** Where the last whole attribute ends: liberal requests may have something else behind it. */
function attributesEnd(message: Uint8Array, offset: number): number {
  let at = offset;
  while (at + NLA_HDRLEN <= message.length) {
    const size = message[at] | (message[at + 1] << 8);
    if (size < NLA_HDRLEN || at + size > message.length) break;
    at += (size + 3) & ~3;
  }
  return Math.min(at, message.length);
}
