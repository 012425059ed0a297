package localkek

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	fileFormat = 1
	fileMode   = fs.FileMode(0o600)
	maxFile    = 1 << 20 // bytes; 10,000 versions fit
	maxVersion = 10_000  // a version a day for 27 years
)

// file is the JSON of a key file. Bytes are in base64.
type file struct {
	Warning       string        `json:"warning"`
	Format        int           `json:"format"`
	MinDecryption int           `json:"minDecryption"`
	MinAvailable  int           `json:"minAvailable"`
	Versions      []fileVersion `json:"versions"` // ascending, without gaps; the last is the latest
	SigningSeed   []byte        `json:"signingSeed"`
}

type fileVersion struct {
	Version int    `json:"version"`
	Key     []byte `json:"key"`
}

const warning = "Coffre's keys in clear. Whoever has this file and the databases reads everything; without it nothing can be read again."

var errDamaged = errors.New("not a key file of Coffre, or damaged")

func encode(k keys) ([]byte, error) {
	f := file{Warning: warning, Format: fileFormat, MinDecryption: k.minDecryption, MinAvailable: k.minAvailable, SigningSeed: k.signing.Seed()}
	for version := k.minAvailable; version <= k.latest; version++ {
		key := k.versions[version]
		f.Versions = append(f.Versions, fileVersion{version, key[:]})
	}
	return json.MarshalIndent(f, "", "  ")
}

// decode never quotes what it read.
func decode(b []byte) (keys, error) {
	var f file
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&f) != nil {
		return keys{}, errDamaged
	}
	if _, err := d.Token(); err != io.EOF {
		return keys{}, errDamaged
	}
	if f.Format != fileFormat {
		return keys{}, errors.New("written by another version of Coffre")
	}
	k := keys{minDecryption: f.MinDecryption, minAvailable: f.MinAvailable, versions: make(map[int][keySize]byte, len(f.Versions))}
	for i, v := range f.Versions {
		if v.Version != f.MinAvailable+i || v.Version > maxVersion || len(v.Key) != keySize {
			return keys{}, errDamaged
		}
		k.versions[v.Version] = [keySize]byte(v.Key)
		k.latest = v.Version
		clear(v.Key)
	}
	if k.minAvailable < 1 || k.minDecryption < k.minAvailable || k.latest < k.minDecryption || len(f.SigningSeed) != ed25519.SeedSize {
		return keys{}, errDamaged
	}
	k.signing = ed25519.NewKeyFromSeed(f.SigningSeed)
	clear(f.SigningSeed)
	return k, nil
}

func read(path string) (k keys, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys{}, false, nil
	} else if err != nil {
		return keys{}, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return keys{}, false, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return keys{}, false, fmt.Errorf("mode %v: only its owner may read it (chmod 600)", info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return keys{}, false, err
	}
	defer clear(b)
	k, err = decode(b)
	return k, true, err
}

// write replaces the file in one step: whoever dies halfway leaves the former one,
// and a temporary file that the next write or [Open] removes.
func write(path string, k keys) error {
	b, err := encode(k)
	if err != nil {
		return err
	}
	defer clear(b)
	if err := writeSynced(temporary(path), b); err != nil {
		return err
	}
	former, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temporary(path), path); err != nil {
		if former != nil {
			err = errors.Join(err, former.Close())
		}
		return err
	}
	return errors.Join(syncDir(filepath.Dir(path)), shred(former))
}

// temporary names the file that is being written, beside the one it replaces.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// shred overwrites the replaced file, so that a trimmed version does not lie on
// the disk for ever. On media that never write in place this is only best effort.
func shred(f *os.File) error {
	if f == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(make([]byte, info.Size()), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// removeLeftover shreds what a process that died in write left behind.
func removeLeftover(path string) error {
	f, err := os.OpenFile(temporary(path), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return errors.Join(shred(f), os.Remove(temporary(path)))
}
