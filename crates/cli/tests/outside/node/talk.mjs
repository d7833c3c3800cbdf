// One JSON object a line, in both directions: what is asked for, and what came of it. Ends when
// nobody asks any more.
import { createInterface } from 'node:readline';

// What libraries print must not come between.
console.info = console.log = console.error;

export async function talk(ready, answer) {
  const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
  say(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say((await answer(JSON.parse(line))) ?? {});
    } catch (error) {
      say({ failed: String(error?.stack ?? error) });
    }
  }
  process.exit(0);
}
