/*
 * Tally: a vitest reporter that says what was skipped and why, and closes the run with the one line
 * `N passed, N failed`, which is printed when the process exits so that nothing can come after it.
 *
 * With REQUIRE_ALL=1 a skipped test is a failed one: where everything is said to be installed, a skip hides a hole.
 * What did not run because of a name filter (-t) is not a skip.
 */
import type { Reporter, SerializedError, TestCase, TestModule, TestRunEndReason, Vitest } from 'vitest/node';

const requireAll = process.env.REQUIRE_ALL === '1';

export class Tally implements Reporter {
  private passed = 0;
  private failed = 0;
  private filtered = false;
  private readonly skips: string[] = [];

  onInit(vitest: Vitest): void {
    this.filtered = vitest.config.testNamePattern !== undefined;
    process.once('exit', (code) => this.close(code));
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[], reason: TestRunEndReason): void {
    this.passed = 0;
    this.failed = errors.length;
    this.skips.length = 0;
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
    if (result.state === 'passed') this.passed++;
    else if (result.state === 'failed' || result.state === 'pending') this.failed++;
    else if (!this.filtered)
      this.skips.push(`${module.relativeModuleId} > ${test.fullName}: ${result.note ?? 'no reason given'}`);
  }

  private close(code: number): void {
    if (code !== 0 && this.failed === 0) this.failed = 1;
    const skipped = this.skips.map((skip) => `${requireAll ? 'FAILED, skipped' : 'skipped'}: ${skip}\n`).join('');
    process.stdout.write(`${skipped}${this.passed} passed, ${this.failed} failed\n`);
  }
}
