/*
 * Errors of the flow key and action codecs: one class for each kind of input.
 *
 * Text gives OdpSyntaxError (where and what was expected), typed values give OdpFieldError (which field and why), Netlink
 * attribute bytes give OdpAttributeError (which attribute and at which byte). All carry a stable `code`.
 */

/** Text that is no flow key, match or action list. `position` counts UTF-16 units from the start of the text. */
export class OdpSyntaxError extends Error {
  readonly code = 'ODP_SYNTAX';
  readonly position: number;
  readonly expected: string;

  constructor(text: string, position: number, expected: string) {
    const rest = text.slice(position, position + 24);
    super(`expected ${expected} at position ${position}, found ${rest === '' ? 'end of text' : JSON.stringify(rest)}`);
    this.name = 'OdpSyntaxError';
    this.position = position;
    this.expected = expected;
  }
}

/** A typed value that cannot be encoded. `requires` names the prerequisite when one is missing. */
export class OdpFieldError extends Error {
  readonly code = 'ODP_FIELD';
  readonly field: string;
  readonly requires: string | undefined;

  constructor(field: string, reason: string, requires?: string) {
    super(`${field}: ${reason}`);
    this.name = 'OdpFieldError';
    this.field = field;
    this.requires = requires;
  }
}

/** Attribute bytes that are cut, too long or of the wrong size. `offset` is the byte where the attribute starts. */
export class OdpAttributeError extends Error {
  readonly code = 'ODP_ATTRIBUTE';
  readonly attribute: string;
  readonly offset: number;

  constructor(attribute: string, offset: number, reason: string) {
    super(`attribute ${attribute} at byte ${offset}: ${reason}`);
    this.name = 'OdpAttributeError';
    this.attribute = attribute;
    this.offset = offset;
  }
}
