package witness

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite/sqlitedb"
)

// State is the file of one witness: its name, its secret key, and of each log the checkpoint
// that it cosigned last. One process at a time has it. Its methods are for one goroutine at a
// time, but for Key.
//
// Key and state lie in one file because they belong together: whoever loses the state loses the
// key, and a witness without its state can't cosign under its former name. Whoever puts an older
// copy of the file back makes the witness forget, which no file can find out by itself; logs do,
// by the sizes that it cosigned for them.
type State struct {
	path    string
	name    string
	private ed25519.PrivateKey
	logs    map[string]lastCosigned
	lock    *flock.Flock
	fault   func(step string) error // for tests: a crash before a step; nil: none
}

// lastCosigned is the last checkpoint of a log that was cosigned; the zero value stands for none.
type lastCosigned struct {
	proof.Head
	note string // the signed checkpoint, as evidence
}

// stateFile is the JSON of the file.
type stateFile struct {
	Warning string            `json:"warning"`
	Format  int               `json:"format"`
	Name    string            `json:"name"`
	Seed    []byte            `json:"seed"`
	Logs    map[string]string `json:"logs"` // signed checkpoints by origin
}

const (
	stateFormat  = 1
	maxState     = 64 << 20 // bytes
	stateWarning = "The secret key of a witness, and what it cosigned last. Never put an older copy back: the witness would cosign what it must not."
)

// Errors of opening a state.
var (
	// ErrNoState: there is no file.
	ErrNoState = errors.New("witness: there is no state")
	// ErrInUse: another process has the file.
	ErrInUse = errors.New("witness: another process has this state")
	// ErrOtherName: the file is of a witness with another name.
	ErrOtherName = errors.New("witness: the state is of a witness with another name")

	errState = errors.New("witness: this is no state of a witness, or it is damaged")
)

// Open takes the file at a path for this process, and makes it with a new key when there is none
// and name is not empty. made tells whether it did. A name must be the one in the file.
func Open(path, name string) (s *State, made bool, err error) {
	lock := flock.New(path + ".lock")
	if free, err := lock.TryLock(); err != nil {
		return nil, false, fmt.Errorf("lock the state of the witness: %w", cause(err))
	} else if !free {
		return nil, false, ErrInUse
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}()
	// What a crash left behind holds the key, too.
	if err := os.Remove(temporary(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("remove an unfinished state of the witness: %w", cause(err))
	}
	s, err = Read(path)
	switch {
	case errors.Is(err, ErrNoState) && name != "":
		if !proof.ValidKeyName(name) {
			return nil, false, proof.ErrKey
		}
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, false, fmt.Errorf("make the key of the witness: %w", err)
		}
		s = &State{path: path, name: name, private: private, logs: map[string]lastCosigned{}}
		if err := s.write(s.logs); err != nil {
			return nil, false, err
		}
		made = true
	case err != nil:
		return nil, false, err
	case name != "" && name != s.name:
		return nil, false, ErrOtherName
	}
	s.lock = lock
	return s, made, nil
}

// Read returns the state of a file without taking it: to look, and never to cosign.
func Read(path string) (*State, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoState
	} else if err != nil {
		return nil, fmt.Errorf("read the state of the witness: %w", cause(err))
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the state of the witness: %w", cause(err))
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read the state of the witness: mode %v: only its owner may read it (chmod 600)", info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("read the state of the witness: %w", cause(err))
	}
	defer clear(b)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var file stateFile
	if d.Decode(&file) != nil || file.Format != stateFormat || len(file.Seed) != ed25519.SeedSize || !proof.ValidKeyName(file.Name) || file.Logs == nil {
		return nil, errState
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errState
	}
	s := &State{path: path, name: file.Name, private: ed25519.NewKeyFromSeed(file.Seed), logs: make(map[string]lastCosigned, len(file.Logs))}
	clear(file.Seed)
	for origin, note := range file.Logs {
		h, err := proof.PeekHead([]byte(note))
		if err != nil || h.Origin != origin {
			return nil, errState
		}
		s.logs[origin] = lastCosigned{h, note}
	}
	return s, nil
}

// Close gives the file back.
func (s *State) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Unlock()
}

// Key returns the public key with the name of the witness.
func (s *State) Key() proof.NamedKey {
	return proof.NamedKey{Name: s.name, Use: proof.Cosigns, Public: s.private.Public().(ed25519.PublicKey)}
}

// Sizes returns of each log how many leaves the checkpoint has that was cosigned last.
func (s *State) Sizes() map[string]int64 {
	sizes := make(map[string]int64, len(s.logs))
	for origin, l := range s.logs {
		sizes[origin] = l.Size
	}
	return sizes
}

func (s *State) last(origin string) lastCosigned { return s.logs[origin] }

// keep makes a checkpoint the last one of its log, durably once it returned nil. After an error
// the file has either state; memory has the former one, and nothing was cosigned.
func (s *State) keep(h proof.Head, signed []byte) error {
	next := maps.Clone(s.logs)
	next[h.Origin] = lastCosigned{h, string(signed)}
	if err := s.write(next); err != nil {
		return err
	}
	s.logs = next
	return nil
}

// write replaces the file whole, and syncs it and its folder.
func (s *State) write(logs map[string]lastCosigned) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the state of the witness: %w", cause(err))
		}
	}()
	file := stateFile{stateWarning, stateFormat, s.name, s.private.Seed(), make(map[string]string, len(logs))}
	for origin, l := range logs {
		file.Logs[origin] = l.note
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	defer clear(b)
	temp, err := os.OpenFile(temporary(s.path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := temp.Write(b); return err }},
		{"sync", temp.Sync},
		{"close", temp.Close},
		{"rename", func() error { return os.Rename(temporary(s.path), s.path) }},
		{"sync the folder", func() error { return sqlitedb.SyncDir(filepath.Clean(filepath.Dir(s.path)), "") }},
		{"end", func() error { return nil }},
	} {
		if s.fault != nil {
			if err := s.fault(step.name); err != nil {
				_ = temp.Close() // the process ends here
				return err
			}
		}
		if err := step.do(); err != nil {
			_ = temp.Close() // what it says is known
			return err
		}
	}
	return nil
}

// temporary is where the next file is written before it replaces the one at path.
func temporary(path string) string { return path + ".new" }

// cause is what a file's error says besides the path.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
