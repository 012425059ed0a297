// Package shred keeps the list of destroyed keys in a file of its own, apart from
// the databases and their backups: a restored copy of the key ring, which would
// bring destroyed keys back, is shredded again by it before it serves (rule E-3).
//
// A line of JSON names one citizen, or one stream with its citizen, both by ids
// that say nothing about a person.
//
// Invariant: the file only grows, and what Add acknowledged is on the medium.
package shred

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
)

// List is a shred list in a file. Its methods may be called concurrently; one
// process at a time writes to a file.
type List struct {
	path string
	mu   sync.Mutex
	sync func(*os.File) error // brings a file, or a folder's names, to the medium
}

// Open returns the list at path. The file, readable by its owner only, is made by
// the first Add; its folder must exist.
func Open(path string) *List { return &List{path: path, sync: (*os.File).Sync} }

// entry is a line. Stream is absent when everything of the citizen is destroyed.
type entry struct {
	Citizen domain.CitizenID  `json:"citizen"`
	Stream  eventstore.Stream `json:"stream,omitempty"`
	Basis   domain.LegalBasis `json:"basis,omitempty"` // of the suppression
	Until   time.Time         `json:"until,omitzero"`  // of the suppression
	At      time.Time         `json:"at"`
}

// AddCitizen records durably that all keys of a citizen are destroyed. Recording
// it again does no harm.
func (l *List) AddCitizen(d seal.DestroyedSubject, at time.Time) error {
	return l.add(entry{Citizen: d.Citizen, Basis: d.Suppression.Basis, Until: d.Suppression.Until, At: at.UTC()})
}

// AddStream records durably that the content key of one stream is destroyed.
func (l *List) AddStream(d seal.DestroyedStream, at time.Time) error {
	return l.add(entry{Citizen: d.Citizen, Stream: d.Stream, At: at.UTC()})
}

func (l *List) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("shred list: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("shred list: %w", err)
	}
	// A line that was cut off by a crash is ended, so that it spoils no other.
	whole, err := endsWhole(f)
	if err == nil && !whole {
		line = append([]byte{'\n'}, line...)
	}
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	if err = errors.Join(err, l.sync(f), f.Close()); err == nil {
		err = l.syncFolder(filepath.Dir(l.path))
	}
	if err != nil {
		return fmt.Errorf("shred list: %w", err)
	}
	return nil
}

func endsWhole(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return true, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return false, err
	}
	return last[0] == '\n', nil
}

func (l *List) syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(l.sync(d), d.Close())
}

// maxLine bounds a line; what is longer is damage.
const maxLine = 4 << 10

// errDamaged: a line that is none, and not merely the end of one that a crash cut
// off. Somebody must look: a destruction may be missing.
var errDamaged = errors.New("shred list: a line is damaged")

// Read returns everything on the list, for [seal.Destroyer.ReapplyDestroyed]; nothing
// when there is no file. A line cut off by a crash was never acknowledged and is
// passed over.
func (l *List) Read() (citizens []seal.DestroyedSubject, streams []seal.DestroyedStream, err error) {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("shred list: %w", err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return citizens, streams, nil // what follows the last line end was cut off
		} else if err != nil {
			return nil, nil, fmt.Errorf("shred list: %w", err)
		}
		var e entry
		decoder := json.NewDecoder(bytes.NewReader(line[:len(line)-1]))
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.ErrUnexpectedEOF): // cut off, then ended by the next Add
			continue
		case err != nil || e.Citizen.IsZero() || decoder.More():
			return nil, nil, errDamaged
		}
		if e.Stream != "" {
			streams = append(streams, seal.DestroyedStream{Stream: e.Stream, Citizen: e.Citizen})
			continue
		}
		citizens = append(citizens, seal.DestroyedSubject{Citizen: e.Citizen, Suppression: seal.Suppression{Basis: e.Basis, Until: e.Until}})
	}
}
