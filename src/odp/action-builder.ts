/*
 * A builder of action lists: `actions().setIpv4({ ttl: 63 }).pushVlan({ vid: 10 }).output(2).build()`.
 *
 * Each call appends one action; nested lists are given as lists or as functions that get a builder of their own. Values are checked when the list is
 * encoded. A builder may be used on after build(), which copies.
 */

import type {
  Action,
  AddMplsAction,
  CtAction,
  HashAction,
  PushEthAction,
  PushMplsAction,
  PushNshAction,
  TunnelPushAction,
} from './action-types.ts';
import { encodeCookie, type UserspaceCookie } from './action-userspace.ts';
import { OdpFieldError } from './errors.ts';
import type { SetField, SetMaskedField } from './set-fields.ts';
import { encodeTunnelHeader, TUNNEL_TYPES, type TunnelHeader } from './tunnel-header.ts';
import type { TunnelKey } from './types.ts';

/** A nested list: actions, or a function that appends them. */
export type ActionList = readonly Action[] | ((nested: ActionBuilder) => unknown);

type MaskedOf<K extends string> = Extract<SetMaskedField, { [P in K]: unknown }>[K &
  keyof Extract<SetMaskedField, { [P in K]: unknown }>];

const ALWAYS = 0xffffffff;

/** Starts an empty list. */
export function actions(): ActionBuilder {
  return new ActionBuilder();
}

export class ActionBuilder {
  readonly #actions: Action[] = [];

  /** A copy of the list so far. */
  build(): Action[] {
    return [...this.#actions];
  }

  /** Appends any typed actions. */
  add(...list: Action[]): this {
    this.#actions.push(...list);
    return this;
  }

  output(port: number): this {
    return this.add({ type: 'output', port });
  }

  drop(reason = 0): this {
    return this.add({ type: 'drop', reason });
  }

  userspace(options: {
    pid: number;
    userdata?: Uint8Array | UserspaceCookie;
    actions?: boolean;
    tunnelOutPort?: number;
  }): this {
    const { userdata, ...rest } = options;
    if (userdata === undefined) return this.add({ type: 'userspace', ...rest });
    const bytes = userdata instanceof Uint8Array ? userdata : encodeCookie(userdata);
    return this.add({ type: 'userspace', ...rest, userdata: bytes });
  }

  /** Sets a whole field. */
  set(field: SetField): this {
    return this.add({ type: 'set', field });
  }

  /** Sets those parts of a field that are given, under their masks. */
  setMasked(field: SetMaskedField): this {
    return this.add({ type: 'setMasked', field });
  }

  setEth(eth: MaskedOf<'eth'>): this {
    return this.setMasked({ eth });
  }

  setIpv4(ipv4: MaskedOf<'ipv4'>): this {
    return this.setMasked({ ipv4 });
  }

  setIpv6(ipv6: MaskedOf<'ipv6'>): this {
    return this.setMasked({ ipv6 });
  }

  setTcp(tcp: MaskedOf<'tcp'>): this {
    return this.setMasked({ tcp });
  }

  setUdp(udp: MaskedOf<'udp'>): this {
    return this.setMasked({ udp });
  }

  setSctp(sctp: MaskedOf<'sctp'>): this {
    return this.setMasked({ sctp });
  }

  setArp(arp: MaskedOf<'arp'>): this {
    return this.setMasked({ arp });
  }

  setNd(nd: MaskedOf<'nd'>): this {
    return this.setMasked({ nd });
  }

  setMpls(...mpls: MaskedOf<'mpls'>): this {
    return this.setMasked({ mpls });
  }

  setNsh(nsh: MaskedOf<'nsh'>): this {
    return this.setMasked({ nsh });
  }

  setTunnel(tunnel: TunnelKey): this {
    return this.set({ tunnel });
  }

  setSkbMark(skbMark: number): this {
    return this.set({ skbMark });
  }

  setSkbPriority(skbPriority: number): this {
    return this.set({ skbPriority });
  }

  /** Default: TPID 0x8100, priority 0. */
  pushVlan(tag: { vid: number; pcp?: number; tpid?: number }): this {
    return this.add({ type: 'pushVlan', tpid: tag.tpid ?? 0x8100, vid: tag.vid, pcp: tag.pcp ?? 0 });
  }

  popVlan(): this {
    return this.add({ type: 'popVlan' });
  }

  pushMpls(entry: Omit<PushMplsAction, 'type'>): this {
    return this.add({ type: 'pushMpls', ...entry });
  }

  popMpls(ethType: number): this {
    return this.add({ type: 'popMpls', ethType });
  }

  addMpls(entry: Omit<AddMplsAction, 'type'>): this {
    return this.add({ type: 'addMpls', ...entry });
  }

  pushEth(addresses: Omit<PushEthAction, 'type'>): this {
    return this.add({ type: 'pushEth', ...addresses });
  }

  popEth(): this {
    return this.add({ type: 'popEth' });
  }

  pushNsh(header: Omit<PushNshAction, 'type'>): this {
    return this.add({ type: 'pushNsh', ...header });
  }

  popNsh(): this {
    return this.add({ type: 'popNsh' });
  }

  /** `probability` from 0 to 1. */
  sample(probability: number, list: ActionList): this {
    if (!(probability >= 0 && probability <= 1)) throw new OdpFieldError('sample', `${probability} is not from 0 to 1`);
    return this.add({ type: 'sample', probability: Math.round(probability * ALWAYS), actions: listOf(list) });
  }

  clone(list: ActionList): this {
    return this.add({ type: 'clone', actions: listOf(list) });
  }

  recirc(id: number): this {
    return this.add({ type: 'recirc', id });
  }

  hash(basis = 0, algorithm: HashAction['algorithm'] = 'l4'): this {
    return this.add({ type: 'hash', algorithm, basis });
  }

  ct(options: Omit<CtAction, 'type'> = {}): this {
    return this.add({ type: 'ct', ...options });
  }

  ctClear(): this {
    return this.add({ type: 'ctClear' });
  }

  trunc(maxSize: number): this {
    return this.add({ type: 'trunc', maxSize });
  }

  meter(id: number): this {
    return this.add({ type: 'meter', id });
  }

  checkPktLen(size: number, greater: ActionList, lessEqual: ActionList): this {
    return this.add({ type: 'checkPktLen', size, greater: listOf(greater), lessEqual: listOf(lessEqual) });
  }

  decTtl(expired: ActionList = []): this {
    return this.add({ type: 'decTtl', actions: listOf(expired) });
  }

  psample(group: number, cookie?: Uint8Array): this {
    return this.add({ type: 'psample', group, ...(cookie && { cookie }) });
  }

  /** The header typed, or as bytes with the type of the tunnel. */
  tunnelPush(
    ports: Pick<TunnelPushAction, 'tunnelPort' | 'outPort'>,
    header: TunnelHeader | Pick<TunnelPushAction, 'tunnelType' | 'header'>,
  ): this {
    if ('header' in header) return this.add({ type: 'tunnelPush', ...ports, ...header });
    const { type } = header.tunnel;
    const six = header.ipv6 !== undefined && (type === 'gre' || type === 'erspan');
    const tunnelType = TUNNEL_TYPES[six ? (`ip6${type}` as const) : type];
    return this.add({ type: 'tunnelPush', ...ports, tunnelType, header: encodeTunnelHeader(header) });
  }

  tunnelPop(port: number): this {
    return this.add({ type: 'tunnelPop', port });
  }

  lbOutput(bondId: number): this {
    return this.add({ type: 'lbOutput', bondId });
  }
}

function listOf(list: ActionList): readonly Action[] {
  if (typeof list !== 'function') return list;
  const nested = new ActionBuilder();
  list(nested);
  return nested.build();
}
