// The load of a launch day: citizens open their wallets and ask who read them, consumers read
// under consents, sources issue. Requests begin at a rate that does not wait for answers, so that
// slow answers are not hidden by requests that were never sent. A client that gets no answer, or
// is told to come back, tries twice more, with the same key, at the next address where there are several.
//
// Variables: WORLD, the file that coffre's test or you wrote (README.md); PEAK, requests begun in a
// second at the peak; SECONDS_LONG, how long the peak lasts; SHAPE: ramp, launch or soak; ON_TIME: must,
// or any where a machine too busy to begin requests in time is no failure.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Counter, Rate, Trend } from 'k6/metrics';

const [world] = new SharedArray('world', () => [JSON.parse(open(__ENV.WORLD))]);
const peak = Number(__ENV.PEAK || 200);
const seconds = Number(__ENV.SECONDS_LONG || 120);
const shapes = {
  // From nothing to the peak in even steps: where does it begin to bend?
  ramp: { executor: 'ramping-arrival-rate', startRate: 1, stages: [{ target: peak, duration: `${seconds}s` }] },
  // The minute of the announcement: from a tenth to the peak in five seconds, and there it stays.
  launch: {
    executor: 'ramping-arrival-rate', startRate: Math.ceil(peak / 10),
    stages: [{ target: Math.ceil(peak / 10), duration: '10s' }, { target: peak, duration: '5s' }, { target: peak, duration: `${seconds}s` }],
  },
  // The same rate all the time.
  soak: { executor: 'constant-arrival-rate', rate: peak, duration: `${seconds}s` },
};
const shape = shapes[__ENV.SHAPE || 'launch'];
if (!shape) {
  throw new Error('SHAPE is ramp, launch or soak');
}

export const options = {
  scenarios: { day: { ...shape, timeUnit: '1s', preAllocatedVUs: 64, maxVUs: 2000 } },
  thresholds: shape === shapes.ramp ? {} : { // a ramp looks for the rate at which that ends
    answered: ['rate>=0.9995'], // target T19
    // Requests that could not begin when they were due.
    ...(__ENV.ON_TIME === 'any' ? {} : { dropped_iterations: ['count==0'] }),
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  discardResponseBodies: false,
  noVUConnectionReuse: false,
  systemTags: ['status', 'name'],
};

const answered = new Rate('answered');
const whole = new Trend('whole', true); // from the first try to the last answer, milliseconds
const again = new Counter('again'); // tries after the first
const acts = {
  wallet: new Trend('wallet', true), accesses: new Trend('accesses', true), access: new Trend('access', true), issue: new Trend('issue', true),
};

const triesAtMost = 3;
const waits = [0.1, 1]; // seconds before the second and the third try
// A process that was killed may have had the first try: until it is back, or half a minute at most,
// others answer that the request is being handled, and its client asks again each second.
const beingHandled = 30;

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function uuid() {
  return 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'.replace(/x/g, () => Math.floor(Math.random() * 16).toString(16));
}

// send makes one request until it is answered as it should be, at most three times.
function send(act, method, path, token, body, want) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== null) {
    headers['Content-Type'] = 'application/json';
    headers['Idempotency-Key'] = uuid();
  }
  const first = Math.floor(Math.random() * world.sites.length);
  const began = Date.now();
  let answer;
  for (let n = 0; n < triesAtMost; n++) {
    if (n > 0) {
      again.add(1);
      sleep(waits[n - 1]);
    }
    const site = world.sites[(first + n) % world.sites.length];
    answer = http.request(method, site + path, body, { headers, timeout: '10s', tags: { name: act }, responseType: 'text' });
    for (let asked = 0; asked < beingHandled && answer.status === 409 && String(answer.body).includes('requestInFlight'); asked++) {
      again.add(1);
      sleep(1);
      answer = http.request(method, site + path, body, { headers, timeout: '10s', tags: { name: act }, responseType: 'text' });
    }
    if (answer.status === want) {
      break;
    }
  }
  const took = Date.now() - began;
  whole.add(took);
  acts[act].add(took);
  answered.add(answer.status === want);
  if (answer.status !== want) {
    console.warn(`${act} was answered ${answer.status} at last: ${answer.body}`);
  }
  check(answer, { 'answered as it should be': (r) => r.status === want });
  return answer;
}

export default function () {
  const n = Math.random();
  if (n < 0.55) {
    const c = pick(world.citizens);
    send('wallet', 'GET', `/citizens/${c.id}/wallet`, c.token, null, 200);
  } else if (n < 0.75) {
    const c = pick(world.citizens);
    send('accesses', 'GET', `/citizens/${c.id}/accessLog`, c.token, null, 200);
  } else if (n < 0.9) {
    const u = pick(world.uses);
    send('access', 'POST', `/documents/${u.document}/access`, world.consumer, JSON.stringify({ purpose: world.purpose, consentId: u.consent }), 200);
  } else {
    const body = { ...world.document, ssin: pick(world.people), sourceReference: `load-${uuid()}` };
    const answer = send('issue', 'POST', '/documents', world.issuer, JSON.stringify(body), 201);
    if (answer.status === 201) {
      console.info(`acknowledged ${answer.json('documentId')}`);
    }
  }
}
