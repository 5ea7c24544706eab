/*
 * Loading this registers the provider `netdev`. Before it: dpif/index.ts, or a program that has no use for the others. After it: netdev-provider.ts.
 */
import { registerProvider } from '../registry.ts';
import { netdevProvider } from './netdev-provider.ts';

registerProvider(netdevProvider);
