/*
 * Frames for tests, all in one place: builders of single layers (layers.ts), a valid frame of each protocol
 * (samples.ts), endless random ones from a seed (frame-generator.ts), and the malformed ones (malformed.ts).
 */
export { frames, Random, randomFrame } from './frame-generator.ts';
export * from './layers.ts';
export { malformedCorpus } from './malformed.ts';
export { samples } from './samples.ts';
