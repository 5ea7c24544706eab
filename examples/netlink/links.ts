/*
 * Network interfaces, and what becomes of them: prints all links, then a line for each one that comes, changes or goes, until Ctrl-C.
 *
 *   node examples/netlink/links.ts            Node.js 22.18 or later
 *   npm run example -- netlink/links          any; `--for SECONDS` ends it by itself
 *
 * Needs no privilege. See docs/netlink.md for the ideas.
 */
import { parseArgs } from 'node:util';
import {
  beginMessage,
  definePolicy,
  endMessage,
  MessageBuffer,
  type MessageCursor,
  NETLINK_ROUTE,
  NLM_F_REQUEST,
  parseAttributes,
  resync,
} from 'wasm-datapath/netlink';

// linux/rtnetlink.h, linux/if_link.h
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTNLGRP_LINK = 1;
const IFINFOMSG_SIZE = 16;
const IFINFOMSG_INDEX = 4;
const OPERSTATES = ['unknown', 'not present', 'down', 'lower layer down', 'testing', 'dormant', 'up'];

const link = definePolicy({
  address: { type: 1, kind: 'binary' },
  name: { type: 3, kind: 'string', required: true },
  mtu: { type: 4, kind: 'u32' },
  operstate: { type: 16, kind: 'u8' },
});

/** RTM_GETLINK for all of them; what asks for a dump is added by whoever runs it. */
function linksRequest(): Uint8Array {
  const buffer = new MessageBuffer();
  const start = beginMessage(buffer, RTM_GETLINK, NLM_F_REQUEST);
  buffer.append(new Uint8Array(IFINFOMSG_SIZE));
  endMessage(buffer, start);
  return buffer.bytes;
}

function ifindex(message: MessageCursor): number {
  const { bytes, payloadOffset } = message;
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(payloadOffset + IFINFOMSG_INDEX, true);
}

function describe(bytes: Uint8Array): string {
  const { name, mtu, address, operstate = 0 } = parseAttributes(link, bytes, 16 + IFINFOMSG_SIZE);
  const mac =
    address === undefined
      ? ''
      : `, ${Buffer.from(address)
          .toString('hex')
          .replace(/..(?=.)/g, '$&:')}`;
  return `${name}: ${OPERSTATES[operstate] ?? operstate}, mtu ${mtu}${mac}`;
}

const { values } = parseArgs({ options: { for: { type: 'string' } } });
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
if (values.for !== undefined) setTimeout(() => stop.abort(), Number(values.for) * 1000);

const links = resync({
  protocol: NETLINK_ROUTE,
  groups: [RTNLGRP_LINK],
  dump: linksRequest(),
  key: ifindex,
  isRemoval: (message) => message.type === RTM_DELLINK,
  signal: stop.signal,
});

try {
  for await (const item of links) {
    if (item.resynchronised) console.log(`-- ${item.count} links (${item.cause})`);
    else console.log(`${item.change.padEnd(7)} ${describe(item.bytes)}`);
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
