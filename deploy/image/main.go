// Command image writes Coffre's container image: one static binary on an empty base, as an OCI
// image layout, without a daemon, a registry or a Containerfile. It is a module of its own, so
// that what it depends on never enters the product's.
//
// Invariant: the layout is made of the binary and of this module's own pins alone, so two builds
// of one binary are the same bytes. Nothing in it depends on the clock or on the machine.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is whom the image names; a platform that gives a user of its own takes any other of
// group 0, to which everything writable belongs.
const user = "65532:0"

func main() {
	binary := flag.String("binary", "bin/coffre", "the static `binary`")
	out := flag.String("out", "bin/image", "`directory` of the OCI layout; one that is there is replaced")
	name := flag.String("name", "coffre", "`name` of the image, as its provenance has it")
	flag.Parse()
	if err := run(*binary, *out, *name); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(binary, out, name string) error {
	made, err := read(binary)
	if err != nil {
		return err
	}
	img, err := made.image()
	if err != nil {
		return err
	}
	bom, err := made.sbom()
	if err != nil {
		return err
	}
	about, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	statement, err := made.provenance(name, about.Digest)
	if err != nil {
		return err
	}
	return write(out, made, img, bom, statement)
}

// made is a binary and what it says of itself.
type made struct {
	content []byte
	info    *buildinfo.BuildInfo
	at      time.Time // of its commit
	version string    // a tag of images: no plus sign
}

// setting returns one of the settings that the binary was built with.
func (m made) setting(key string) string {
	for _, s := range m.info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

func read(path string) (m made, err error) {
	if m.content, err = os.ReadFile(path); err != nil {
		return m, err
	}
	if m.info, err = buildinfo.Read(bytes.NewReader(m.content)); err != nil {
		return m, fmt.Errorf("%s says nothing of how it was built: %w", path, err)
	}
	if m.setting("CGO_ENABLED") != "0" || m.setting("GOOS") != "linux" {
		return m, fmt.Errorf("%s is no static binary for Linux: build it with make build", path)
	}
	m.at = time.Unix(0, 0).UTC()
	if at := m.setting("vcs.time"); at != "" {
		if m.at, err = time.Parse(time.RFC3339, at); err != nil {
			return m, errors.New("the time of the binary's commit is none")
		}
	}
	m.version = strings.ReplaceAll(m.info.Main.Version, "+", "-")
	if m.version == "" || m.version == "(devel)" {
		m.version = "devel"
	}
	return m, nil
}

// image returns the image: the certificates in one layer, which changes with their pin alone,
// and the binary with the folders it may write to in another.
func (m made) image() (v1.Image, error) {
	roots, err := m.layer([]entry{
		{name: "etc/", mode: 0o755}, {name: "etc/ssl/", mode: 0o755}, {name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o444, content: authorities()},
	}, time.Unix(0, 0).UTC())
	if err != nil {
		return nil, err
	}
	program, err := m.layer([]entry{
		{name: "data/", mode: 0o770}, {name: "tmp/", mode: 0o1777},
		{name: "usr/", mode: 0o755}, {name: "usr/bin/", mode: 0o755},
		{name: "usr/bin/coffre", mode: 0o555, content: m.content},
	}, m.at)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: roots, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: time.Unix(0, 0).UTC()}, CreatedBy: "certificates of public authorities"}},
		mutate.Addendum{Layer: program, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: m.at}, CreatedBy: "coffre " + m.version}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Created, file.Architecture, file.OS = v1.Time{Time: m.at}, m.setting("GOARCH"), "linux"
	file.Config = v1.Config{
		User: user, Entrypoint: []string{"/usr/bin/coffre"}, Cmd: []string{"help"}, WorkingDir: "/data",
		Env:          []string{"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "TMPDIR=/tmp"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9464/tcp": {}},
		StopSignal:   "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "Coffre",
			"org.opencontainers.image.description": "A vault for citizens' documents",
			"org.opencontainers.image.version":     m.version,
			"org.opencontainers.image.revision":    m.setting("vcs.revision"),
			"org.opencontainers.image.created":     m.at.Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(img, file)
}

// authorities returns the public certificate authorities in PEM, in the order of their pin.
func authorities() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
	}
	return text.Bytes()
}

// entry is a file or, with a slash at its end, a folder.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// layer returns entries that belong to root and group 0.
func (m made) layer(entries []entry, at time.Time) (v1.Layer, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, e := range entries {
		head := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(e.name, "/") {
			head.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// write puts the layout into place whole, with the bill of materials and the provenance as
// artifacts that refer to the image, and both as files beside it.
func write(out string, m made, img v1.Image, bom, statement []byte) error {
	fresh := out + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.MkdirAll(filepath.Dir(out), 0o755)); err != nil {
		return err
	}
	dir, err := layout.Write(fresh, empty.Index)
	if err != nil {
		return err
	}
	platform := &v1.Platform{OS: "linux", Architecture: m.setting("GOARCH")}
	if err := dir.AppendImage(img, layout.WithPlatform(*platform), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": m.version})); err != nil {
		return err
	}
	subject, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		kind, file string
		content    []byte
	}{
		{"application/vnd.cyclonedx+json", "cdx.json", bom},
		{"application/vnd.in-toto+json", "provenance.json", statement},
	} {
		artifact, err := referring(*subject, types.MediaType(one.kind), one.content)
		if err != nil {
			return err
		}
		if err := dir.AppendImage(artifact); err != nil {
			return err
		}
		if err := os.WriteFile(out+"."+one.file, one.content, 0o644); err != nil {
			return err
		}
	}
	if err := errors.Join(readable(fresh), os.RemoveAll(out)); err != nil {
		return err
	}
	if err := os.Rename(fresh, out); err != nil {
		return err
	}
	fmt.Printf("%s %s@%s\n", out, m.version, subject.Digest)
	return nil
}

// referring returns an artifact of OCI 1.1 with one blob, about an image.
func referring(subject v1.Descriptor, kind types.MediaType, content []byte) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), kind)
	img, err := mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(content, kind), MediaType: kind})
	if err != nil {
		return nil, err
	}
	about := v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest}
	return mutate.Subject(img, about).(v1.Image), nil
}

// readable lets everybody read a layout, whose writer keeps some blobs to itself.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
}

// sha256Of returns the digest of some bytes in hexadecimal.
func sha256Of(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }
