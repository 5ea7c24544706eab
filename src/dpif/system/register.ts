/*
 * Loading this registers the provider `system`. Before it: dpif/index.ts, or a program that has no use for the others. After it: system-provider.ts.
 */
import { registerProvider } from '../registry.ts';
import { systemProvider } from './system-provider.ts';

registerProvider(systemProvider);
