// Speaks to the API server as kubectl would, without it: YAML goes in as it is.
//   prepare CRD...   a namespace under PodSecurity "restricted", its default account, the CRDs
//   pods             every pod of the workloads is admitted; pods that are less than restricted are not
import { readFileSync } from 'node:fs';

const { API, TOKEN } = process.env;
async function ask(method, path, body, type = 'application/json') {
  const answer = await fetch(API + path, { method, body: body && (typeof body === 'string' ? body : JSON.stringify(body)), headers: { authorization: `Bearer ${TOKEN}`, 'content-type': type } });
  return { status: answer.status, body: await answer.json(), warning: answer.headers.get('warning') };
}
async function make(path, body, type) {
  const made = await ask('POST', path, body, type);
  if (made.status !== 201) throw new Error(`${path}: ${made.status} ${made.body.message}`);
}
const pod = (template, name) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { ...template.metadata, name }, spec: structuredClone(template.spec) });
const admitted = (one) => ask('POST', '/api/v1/namespaces/coffre/pods?dryRun=All&fieldValidation=Strict', one);

const [what, ...files] = process.argv.slice(2);
if (what === 'prepare') {
  const labels = Object.fromEntries(['enforce', 'warn', 'audit'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted']));
  await make('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'coffre', labels } });
  await make('/api/v1/namespaces/coffre/serviceaccounts', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } });
  for (const file of files) {
    await make('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', readFileSync(file, 'utf8'), 'application/yaml');
  }
  for (const kind of ['monitoring.coreos.com/v1/servicemonitors', 'route.openshift.io/v1/routes']) {
    for (let tries = 0; (await fetch(`${API}/apis/${kind}`, { headers: { authorization: `Bearer ${TOKEN}` } })).status !== 200; tries++) {
      if (tries > 200) throw new Error(`${kind} is not served`);
      await new Promise((ok) => setTimeout(ok, 100));
    }
  }
} else {
  const wrong = [];
  let pods = 0;
  for (const kind of ['apps/v1/namespaces/coffre/statefulsets', 'batch/v1/namespaces/coffre/jobs']) {
    for (const item of (await ask('GET', `/apis/${kind}`)).body.items) {
      const template = item.spec.template;
      template.spec.volumes = template.spec.volumes.concat((item.spec.volumeClaimTemplates ?? []).map((c) => ({ name: c.metadata.name, persistentVolumeClaim: { claimName: c.metadata.name } })));
      const answer = await admitted(pod(template, `${item.metadata.name}-0`));
      if (answer.status !== 201) wrong.push(`${item.metadata.name}: ${answer.body.message}`);
      for (const [how, spoil] of Object.entries({
        'a writable privilege': (s) => { s.containers[0].securityContext.allowPrivilegeEscalation = true; },
        root: (s) => { s.securityContext.runAsNonRoot = false; },
        'a capability': (s) => { s.containers[0].securityContext.capabilities.drop = []; },
        'no seccomp profile': (s) => { delete s.securityContext.seccompProfile; },
      })) {
        const less = pod(template, `${item.metadata.name}-1`);
        spoil(less.spec);
        const refused = await admitted(less);
        if (refused.status !== 403 || !/PodSecurity "restricted/.test(refused.body.message)) wrong.push(`${item.metadata.name} with ${how}: ${refused.status}`);
      }
      for (const c of template.spec.containers) {
        if (!c.securityContext.readOnlyRootFilesystem) wrong.push(`${item.metadata.name}: the root is writable`);
        for (const m of c.volumeMounts) if (!template.spec.volumes.some((v) => v.name === m.name)) wrong.push(`${item.metadata.name}: no volume ${m.name}`);
      }
      pods++;
    }
  }
  if (pods < 9) wrong.push(`${pods} pods only`);
  for (const kind of ['policy/v1/namespaces/coffre/poddisruptionbudgets', 'networking.k8s.io/v1/namespaces/coffre/networkpolicies', 'networking.k8s.io/v1/namespaces/coffre/ingresses', 'autoscaling/v2/namespaces/coffre/horizontalpodautoscalers', 'route.openshift.io/v1/namespaces/coffre/routes', 'monitoring.coreos.com/v1/namespaces/coffre/servicemonitors']) {
    const there = (await ask('GET', `/apis/${kind}`)).body.items?.length ?? 0;
    if (there === 0) wrong.push(`nothing of ${kind}`);
  }
  if (wrong.length) {
    console.error(wrong.join('\n'));
    process.exit(1);
  }
  console.log(`${pods} pods admitted under PodSecurity restricted, ${pods * 4} that ask for more refused`);
}
