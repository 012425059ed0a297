package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/gofrs/flock"

	"coffre/handlers/edge"
)

// DataDir is the folder of one vault on one machine, owned by one process at a time.
type DataDir string

// Names of files in a data directory. They are for ever: a directory is opened by later
// releases, too.
const (
	lockFile     = "lock"
	SocketFile   = "control.sock"
	DevKeyFile   = "dev-token.key" // signs the tokens of `coffre token`, for development only
	KEKFile      = "kek.json"      // seal/localkek
	TransitMark  = "keys.vault"    // says that the keys lie in Vault
	KeysFile     = "keys.db"       // seal/keysdb
	ReactorsFile = "reactors.db"   // what was sent to whom
	exportFolder = "exports"
	BlobsFolder  = "blobs"      // sealed files of documents, unless they are kept elsewhere
	ShredFile    = "shred.list" // destroyed keys; kept apart from backups
)

// File returns the path of a file of that name in the folder.
func (d DataDir) File(name string) string { return filepath.Join(string(d), name) }

// ErrOwned says that another process has the folder; its control socket leads to it.
var ErrOwned = errors.New("another coffre process owns the data directory")

// ErrOpenToOthers says that the folder is open to other accounts and cannot be closed to them,
// because another account owns it.
var ErrOpenToOthers = errors.New("data directory: other accounts of this system may enter it, and it is not ours to close; make a folder of your own within it and name that one")

// Create makes the folder, readable by its owner only. One that is there is closed to everybody
// else.
func (d DataDir) Create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(string(d), 0o700); err != nil {
			return ErrOpenToOthers
		}
	}
	return nil
}

// ErrNotAVault says that a folder holds other things and no vault: somebody mistyped its name.
var ErrNotAVault = errors.New("data directory: it holds other things and no vault")

// marks are the files by one of which a folder is known to be a vault's.
var marks = []string{lockFile, DevKeyFile, KEKFile, TransitMark, KeysFile}

// Exists reports whether the folder is there and may be opened: it was a vault's before, or it
// is empty. It returns ErrNotAVault for a folder of other things, and touches nothing.
func (d DataDir) Exists() (bool, error) {
	there, err := os.ReadDir(string(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, syscall.ENOTDIR):
		return false, errors.New("data directory: it is a file")
	case err != nil:
		return false, fmt.Errorf("data directory: %w", err)
	case len(there) > 0 && !slices.ContainsFunc(there, func(e fs.DirEntry) bool { return slices.Contains(marks, e.Name()) }):
		return false, ErrNotAVault
	}
	return true, nil
}

// Own takes the folder for this process until release is called or the process
// ends, however it ends.
func (d DataDir) Own() (release func() error, err error) {
	if err := d.Create(); err != nil {
		return nil, err
	}
	lock := flock.New(d.File(lockFile), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !ok {
		return nil, ErrOwned
	}
	return lock.Unlock, nil
}

// OwnStopped is Own for work that no process may serve the vault beside; the refusal says so.
func (d DataDir) OwnStopped() (release func() error, err error) {
	release, err = d.Own()
	if errors.Is(err, ErrOwned) {
		err = fmt.Errorf("%w; stop it first", err)
	}
	return release, err
}

// RemoveEmpty removes a folder that holds nothing but its lock, which the caller has; any other
// stays as it is.
func (d DataDir) RemoveEmpty() error {
	there, err := os.ReadDir(string(d))
	if err != nil || len(there) != 1 || there[0].Name() != lockFile {
		return err
	}
	return errors.Join(os.Remove(d.File(lockFile)), os.Remove(string(d)))
}

// Owned reports whether a process has the folder now. It makes nothing in it.
func (d DataDir) Owned() (bool, error) {
	if there, err := isThere(d.File(lockFile)); err != nil || !there {
		return false, err
	}
	release, err := d.Own()
	if errors.Is(err, ErrOwned) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, release()
}

// Listen opens the folder's control socket, which only the folder's owner can reach.
// The caller holds the lock; a socket that a killed owner left is removed. Closing the
// listener removes the socket.
func (d DataDir) Listen(ctx context.Context) (net.Listener, error) {
	path, release, err := d.socket()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(d.File(SocketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
		err = os.Chmod(d.File(SocketFile), 0o600)
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &controlSocket{Listener: l, release: release}, nil
}

// NewControlServer returns a server of the control socket: a request's context says whose
// process sent it, as the kernel names the account at the other end (edge.Account).
func NewControlServer(control http.Handler) *http.Server {
	server := edge.NewHTTPServer(control)
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if uid, known := peer(conn); known {
			return edge.WithAccount(ctx, edge.Account{UID: uid})
		}
		return ctx // whom nobody knows, edge.ControlSocket refuses
	}
	return server
}

type controlSocket struct {
	net.Listener
	release func()
}

func (c *controlSocket) Close() error {
	defer c.release()
	return c.Listener.Close()
}

// Dial connects to the control socket.
func (d DataDir) Dial(ctx context.Context) (net.Conn, error) {
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

// ErrSocketPath says that the folder's path does not fit into a socket's address, and
// that this system offers no shorter one.
var ErrSocketPath = errors.New("control socket: the path of the data directory is too long; use a shorter one")

// socket returns a path of the control socket that is short enough for a socket's
// address, good until release.
func (d DataDir) socket() (path string, release func(), err error) {
	if path = d.File(SocketFile); len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	folder, err := os.Open(string(d))
	if err != nil {
		return "", nil, fmt.Errorf("control socket: %w", err)
	}
	release = func() { _ = folder.Close() } // it was only read
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(folder.Fd())), SocketFile)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		release()
		return "", nil, ErrSocketPath
	}
	return path, release, nil
}
