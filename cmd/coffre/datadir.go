package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gofrs/flock"
)

// dataDir is the folder of one vault on one machine. One process owns it.
type dataDir string

const (
	lockFile     = "lock"
	socketFile   = "control.sock"
	devKeyFile   = "dev-token.key" // signs the tokens of `coffre token`, for development only
	kekFile      = "kek.json"      // seal/localkek
	vaultMark    = "keys.vault"    // says that the keys lie in Vault
	keysFile     = "keys.db"       // seal/keysdb
	reactorsFile = "reactors.db"   // what was sent to whom
	exportFolder = "exports"
	blobsFolder  = "blobs"      // sealed files of documents, unless they are kept elsewhere
	shredFile    = "shred.list" // destroyed keys; kept apart from backups
)

func (d dataDir) file(name string) string { return filepath.Join(string(d), name) }

// errOwned: another process has the folder; go through its control socket.
var errOwned = errors.New("another coffre process owns the data directory")

// create makes the folder, readable by its owner only.
func (d dataDir) create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// exists reports whether the folder is there.
func (d dataDir) exists() (bool, error) {
	info, err := os.Stat(string(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("data directory: %w", err)
	case !info.IsDir():
		return false, errors.New("data directory: it is a file")
	}
	return true, nil
}

// own takes the folder for this process until release is called or the process
// ends, however it ends.
func (d dataDir) own() (release func() error, err error) {
	if err := d.create(); err != nil {
		return nil, err
	}
	lock := flock.New(d.file(lockFile), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !ok {
		return nil, errOwned
	}
	return lock.Unlock, nil
}

// listen opens the folder's control socket, for its owner only: who holds the
// lock may call it, and finds what a killed owner left gone. Closing the
// listener removes the socket.
func (d dataDir) listen(ctx context.Context) (net.Listener, error) {
	path, release, err := d.socket()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(d.file(socketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		release()
		return nil, fmt.Errorf("remove the old control socket: %w", err)
	}
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.Fchmod(int(fd), 0o600) // where it counts before bind: Linux; elsewhere the folder protects it
		})
	}}
	l, err := private.Listen(ctx, "unix", path)
	if err == nil {
		err = os.Chmod(d.file(socketFile), 0o600)
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &controlSocket{Listener: l, release: release}, nil
}

type controlSocket struct {
	net.Listener
	release func()
}

func (c *controlSocket) Close() error {
	defer c.release()
	return c.Listener.Close()
}

// dial connects to the control socket.
func (d dataDir) dial(ctx context.Context) (net.Conn, error) {
	path, release, err := d.socket()
	if err != nil {
		return nil, err
	}
	defer release()
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}

// maxSocketPath is what a socket's address can hold on Linux and macOS, less the
// byte that ends it.
const maxSocketPath = 103

var errSocketPath = errors.New("control socket: the path of the data directory is too long; use a shorter one")

// socket returns a path of the control socket that is short enough for a socket's
// address, good until release.
func (d dataDir) socket() (path string, release func(), err error) {
	if path = d.file(socketFile); len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	folder, err := os.Open(string(d))
	if err != nil {
		return "", nil, fmt.Errorf("control socket: %w", err)
	}
	release = func() { _ = folder.Close() } // it was only read
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(folder.Fd())), socketFile)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		release()
		return "", nil, errSocketPath
	}
	return path, release, nil
}
