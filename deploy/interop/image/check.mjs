// Holds what `make image` wrote against its specifications: the layout's digests, the bill of
// materials by CycloneDX's own schema, the provenance's subject, and that both refer to the image.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';

const bin = process.argv[2];
const read = (file) => readFileSync(`${bin}/${file}`);
const wrong = [];
const expect = (is, what) => { if (!is) wrong.push(what); };

const blob = (about) => {
  const content = read(`image/blobs/${about.digest.replace(':', '/')}`);
  expect(content.length === about.size, `${about.digest} has ${content.length} bytes, not ${about.size}`);
  expect(`sha256:${createHash('sha256').update(content).digest('hex')}` === about.digest, `${about.digest} is another blob`);
  return content;
};

const index = JSON.parse(read('image/index.json'));
const [image, ...about] = index.manifests;
const manifest = JSON.parse(blob(image));
const config = JSON.parse(blob(manifest.config)).config;
manifest.layers.forEach(blob);
expect(manifest.config.mediaType === 'application/vnd.oci.image.config.v1+json', `the config is ${manifest.config.mediaType}`);
expect(/^[1-9]\d*:0$/.test(config.User), `it runs as ${config.User}`);
expect(about.length === 2, `${about.length} artifacts`);
for (const [file, kind] of [['image.cdx.json', 'application/vnd.cyclonedx+json'], ['image.provenance.json', 'application/vnd.in-toto+json']]) {
  const one = about.find((a) => a.artifactType === kind);
  expect(one, `no ${kind}`);
  if (!one) continue;
  const artifact = JSON.parse(blob(one));
  expect(artifact.subject?.digest === image.digest, `${kind} is about ${artifact.subject?.digest}`);
  expect(blob(artifact.layers[0]).equals(read(file)), `${file} is not what the layout has`);
}

const text = read('image.cdx.json').toString();
const bom = JSON.parse(text);
const mistake = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text);
expect(mistake === null, `CycloneDX: ${JSON.stringify(mistake)}`);
const binary = createHash('sha256').update(read('coffre')).digest('hex');
expect(bom.metadata.component.hashes[0].content === binary, 'the bill of materials is of another binary');
for (const name of ['std', 'github.com/jackc/pgx/v5', '/etc/ssl/certs/ca-certificates.crt']) {
  expect(bom.components.some((c) => c.name === name), `the bill of materials has no ${name}`);
}
// The validator is not blind.
expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text.replace('"library"', '"libary"')) !== null, 'a mistake is not found');

const statement = JSON.parse(read('image.provenance.json'));
expect(`sha256:${statement.subject[0].digest.sha256}` === image.digest, 'the provenance is of another image');
expect(statement.predicate.buildDefinition.resolvedDependencies.some((d) => /^[0-9a-f]{40}$/.test(d.digest?.gitCommit ?? '')), 'the provenance names no commit');

if (wrong.length) {
  console.error(wrong.join('\n'));
  process.exit(1);
}
console.log(`${bom.components.length} components; subject ${image.digest}`);
