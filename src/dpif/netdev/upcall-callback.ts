/*
 * A registered upcall function as a handler of the datapath. Before it: NetdevDatapath.registerUpcallCb. After it: perPacket, which holds masks and
 * action lists for the answers. Threads: the datapath's owner.
 */
import type { Datapath } from '../../datapath/datapath.ts';
import { encodeKeyAttributes } from '../../odp/key-attributes.ts';
import { decodeMatchAttributes } from '../../odp/match-decode.ts';
import { flowUfid } from '../../odp/ufid.ts';
import type { UpcallHandler } from '../../upcall/handler.ts';
import { perPacket } from '../../upcall/per-packet.ts';
import type { UpcallCallback } from '../provider.ts';

export function callbackHandler(callback: UpcallCallback, datapath: Datapath): UpcallHandler {
  return perPacket(({ inPort, command, packet, flatKey, userdata }) => {
    const key = encodeKeyAttributes(flatKey);
    const verdict = callback({
      type: command,
      portNo: inPort,
      packet,
      key,
      ufid: flowUfid(key),
      ...(userdata && { userdata }),
    });
    if (verdict === undefined) return undefined;
    const { actions, putActions } = verdict;
    if (verdict.mask === undefined) return { actions, install: false };
    const { mask } = decodeMatchAttributes(key, verdict.mask);
    if (putActions === undefined) return { actions, mask };
    datapath.flows.put({ key: flatKey, mask }, putActions);
    return { actions, install: false };
  });
}
