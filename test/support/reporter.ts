/*
 * Tally: a vitest reporter that says what was skipped and why, and what was compared with judges from outside, and closes the run with the one line
 * `N passed, N failed`, which is printed when the process exits so that nothing can come after it.
 *
 * With REQUIRE_ALL=1 a skipped test is a failed one: where everything is said to be installed, a skip hides a hole.
 * What did not run because of a name filter (-t) is not a skip.
 */
import path from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule, TestRunEndReason, Vitest } from 'vitest/node';

import { add, type Compared, summaryLines } from './conformance/summary.ts';

const requireAll = process.env.REQUIRE_ALL === '1';

export class Tally implements Reporter {
  private passed = 0;
  private failed = 0;
  private filtered = false;
  private readonly skips: string[] = [];
  private readonly compared = new Map<string, Compared>();

  onInit(vitest: Vitest): void {
    this.filtered = vitest.config.testNamePattern !== undefined;
    process.once('exit', (code) => this.close(code));
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[], reason: TestRunEndReason): void {
    this.passed = 0;
    this.failed = errors.length;
    this.skips.length = 0;
    this.compared.clear();
    for (const module of modules) this.countModule(module);
    if (requireAll) this.failed += this.skips.length;
    if (reason === 'failed' && this.failed === 0) this.failed = 1;
    if (this.failed > 0) process.exitCode = 1;
  }

  private countModule(module: TestModule): void {
    if (module.errors().length > 0) this.failed++;
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) this.failed++;
    for (const test of module.children.allTests()) this.countTest(module, test);
  }

  private countTest(module: TestModule, test: TestCase): void {
    const result = test.result();
    const { compared } = test.meta();
    if (compared !== undefined) this.countCompared(path.basename(module.relativeModuleId, '.test.ts'), compared);
    if (result.state === 'passed') this.passed++;
    else if (result.state === 'failed' || result.state === 'pending') this.failed++;
    else if (!this.filtered)
      this.skips.push(`${module.relativeModuleId} > ${test.fullName}: ${result.note ?? 'no reason given'}`);
  }

  private countCompared(file: string, compared: Compared): void {
    const before = this.compared.get(file);
    this.compared.set(file, before === undefined ? compared : add(before, compared));
  }

  private close(code: number): void {
    if (code !== 0 && this.failed === 0) this.failed = 1;
    const skipped = this.skips.map((skip) => `${requireAll ? 'FAILED, skipped' : 'skipped'}: ${skip}\n`).join('');
    const compared = summaryLines(this.compared)
      .map((line) => `${line}\n`)
      .join('');
    process.stdout.write(`${compared}${skipped}${this.passed} passed, ${this.failed} failed\n`);
  }
}
