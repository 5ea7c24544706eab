/*
 * Which kernel module offers a generic Netlink family, for the message of an error. Before it: a lookup that found nothing. Families that are a
 * part of every kernel are not here; for a family that is neither, the name of the module is unknown.
 */

/** Family to module; a name that ends with * stands for all that begin so. */
const MODULES: readonly (readonly [family: string, module: string])[] = [
  ['ovs_*', 'openvswitch'],
  ['psample', 'psample'],
  ['NET_DM', 'drop_monitor'],
  ['wireguard', 'wireguard'],
  ['nl80211', 'cfg80211'],
  ['MAC80211_HWSIM', 'mac80211_hwsim'],
  ['macsec', 'macsec'],
  ['team', 'team'],
  ['TIPC*', 'tipc'],
  ['l2tp', 'l2tp_netlink'],
  ['gtp', 'gtp'],
  ['fou', 'fou'],
  ['ila', 'ila'],
  ['nbd', 'nbd'],
  ['IPVS', 'ip_vs'],
  ['batadv', 'batman-adv'],
  ['HSR', 'hsr'],
  ['SMC_*', 'smc'],
  ['ovpn', 'ovpn'],
  ['TCM-USER', 'target_core_user'],
  ['802.15.4 MAC', 'ieee802154'],
  ['nfc', 'nfc'],
  ['dpll', 'dpll'],
];

/** The module of a family, undefined when it is not known. */
export function familyModule(family: string): string | undefined {
  return MODULES.find(([name]) => (name.endsWith('*') ? family.startsWith(name.slice(0, -1)) : family === name))?.[1];
}
