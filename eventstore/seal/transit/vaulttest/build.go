package vaulttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

// buildTags leave out the cloud providers' plug-ins.
const buildTags = "minimal"

var versionLine = regexp.MustCompile(`github\.com/hashicorp/vault (v[0-9][^ \n]*)`)

// moduleRoot finds the folder of the project's go.mod from a test's folder.
func moduleRoot() (string, error) {
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

// Binary returns the path of the server's binary, after building it where there is
// none. Of several processes that ask at once one builds.
func Binary(ctx context.Context) (string, error) {
	path, err := binary(ctx)
	if err != nil {
		return "", fmt.Errorf("vault server for tests: %w", err)
	}
	return path, nil
}

func binary(ctx context.Context) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "eventstore", "seal", "transit", "vaultserver")
	name, err := binaryName(source)
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
	path := filepath.Join(dir, name)
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
	return path, build(ctx, source, path)
}

func built(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

// binaryName tells one build from every other.
func binaryName(source string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.GOOS, runtime.GOARCH, buildTags)
	version := ""
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		if m := versionLine.FindSubmatch(b); name == "go.mod" && m != nil {
			version = string(m[1])
		}
		fmt.Fprintln(sum, name, len(b))
		sum.Write(b)
	}
	if version == "" {
		return "", fs.ErrInvalid
	}
	return "vaultserver-" + version + "-" + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// build compiles a copy of the module, so that the tree stays as it is, and puts
// the binary into place whole.
func build(ctx context.Context, source, path string) error {
	dir, err := os.MkdirTemp("", "vaultserver")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	fresh := path + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-tags", buildTags, "-ldflags", "-s -w", "-o", fresh, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build it (go build in %s, tags %s; it needs Go's module proxy and some minutes): %w\n%s", source, buildTags, err, tail(out))
	}
	return os.Rename(fresh, path)
}

// tail is the end of a long output.
func tail(out []byte) []byte {
	const most = 4000
	return out[max(0, len(out)-most):]
}
