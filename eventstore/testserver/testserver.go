// Package testserver builds the real servers that tests run against, each from a
// Go module of its own below the project, whose packages never enter the project's.
//
// Invariant: a binary in the cache is whole, and was built from exactly the module
// that its name is made from.
package testserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// Module is where a server comes from.
type Module struct {
	Name   string // of the server, as errors and the cache have it
	Folder string // of the module, with slashes, from the project's root
	Target string // the package to build, from the module's folder
	Tags   string // build tags; "" for none
}

// Root finds the folder of the project's go.mod from a test's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(b, []byte("module coffre\n")) {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("this is no folder of the project")
		}
		dir = above
	}
}

// Binary returns the path of the server's binary in the user's cache folder, after
// building it where there is none; that takes minutes. Of several processes that ask
// at once one builds.
func (m Module) Binary(ctx context.Context) (string, error) {
	path, err := m.binary(ctx)
	if err != nil {
		return "", fmt.Errorf("%s for tests: %w", m.Name, err)
	}
	return path, nil
}

func (m Module) binary(ctx context.Context) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, filepath.FromSlash(m.Folder))
	sum, err := m.sum(source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // a service account without a home
	}
	dir := filepath.Join(cache, "coffre")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.Name+"-"+sum)
	if built(path) {
		return path, nil
	}
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, time.Second); err != nil {
		return "", fmt.Errorf("wait for who builds it: %w", err)
	}
	defer lock.Close()
	if built(path) {
		return path, nil
	}
	return path, m.build(ctx, source, path)
}

func built(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

// sum tells one build from every other.
func (m Module) sum(source string) (string, error) {
	files, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.GOOS, runtime.GOARCH, m.Tags, m.Target)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(source, f.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, f.Name(), len(b))
		sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// build compiles a copy of the module, so that the tree stays as it is, and puts
// the binary into place whole.
func (m Module) build(ctx context.Context, source, path string) error {
	dir, err := os.MkdirTemp("", m.Name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	fresh := path + ".new"
	args := []string{"build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", m.Tags, "-o", fresh, m.Target}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(os.Environ()), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	began := time.Now()
	fmt.Fprintf(os.Stderr, "building the %s server of the tests from its Go module; it takes minutes, once\n", m.Name)
	defer func() {
		fmt.Fprintf(os.Stderr, "building the %s server ended after %s\n", m.Name, time.Since(began).Round(time.Second))
	}()
	if out, err := cmd.CombinedOutput(); err != nil {
		const most = 4000
		return fmt.Errorf("build it (go build in %s; it needs Go's module proxy and some minutes): %w\n%s", m.Folder, err, out[max(0, len(out)-most):])
	}
	return os.Rename(fresh, path)
}
