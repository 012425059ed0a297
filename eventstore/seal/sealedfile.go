package seal

import (
	"errors"
	"fmt"
	"io"

	"github.com/minio/sio"

	"coffre/eventstore"
)

// FileKeySize is the bytes of the key of one file.
const FileKeySize = keySize

// A sealed file is a stream of the format DARE 2.0: packages of 64 KiB, each sealed
// by AES-256-GCM and bound to its place, the last one marked. Every file has a random
// key of its own, so none can stand in another's place. For ever:
// docs/log-format.md, "Sealed file".
const (
	filePackage  = 64 << 10
	fileOverhead = 32 // bytes that a package has more than what it seals
)

func fileConfig(key []byte) sio.Config {
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: key}
}

// SealFile returns what file says, sealed under a key of FileKeySize bytes that
// seals nothing else, in constant memory. An error of file is the result's.
func SealFile(key []byte, file io.Reader) (io.Reader, error) {
	sealed, err := sio.EncryptReader(file, fileConfig(key))
	if err != nil {
		return nil, fmt.Errorf("seal a file: %w", err)
	}
	return sealed, nil
}

// SealedFileSize returns how many bytes a file of size bytes, 1 or more, has once
// sealed.
func SealedFileSize(size int64) int64 {
	return size + (size+filePackage-1)/filePackage*fileOverhead
}

// OpenedFile reads a sealed file from wherever it is sought to, in constant memory.
// It is for one goroutine. No byte of a package that was tampered with, moved or cut
// comes out: reading it returns an error that wraps eventstore.ErrTampered, and so
// does every later call.
type OpenedFile struct {
	key    []byte
	size   int64
	from   func(offset int64) (io.ReadCloser, error)
	offset int64
	source io.ReadCloser // nil: not open, or no longer at offset
	plain  io.Reader
	failed error
}

// OpenFile opens a file of size bytes under its key. from returns the sealed bytes
// from an offset on; it is called when bytes are read for the first time, and again
// after a Seek to another place. Close ends the last reader it returned.
func OpenFile(key []byte, size int64, from func(offset int64) (io.ReadCloser, error)) *OpenedFile {
	return &OpenedFile{key: key, size: size, from: from}
}

var errSeek = errors.New("seal: sought to a place before the file")

// Seek implements io.Seeker.
func (f *OpenedFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errSeek
	}
	if offset == f.offset {
		return offset, nil
	}
	f.offset = offset
	return offset, f.Close()
}

// Read implements io.Reader.
func (f *OpenedFile) Read(p []byte) (int, error) {
	switch {
	case f.failed != nil:
		return 0, f.failed
	case len(p) == 0:
		return 0, nil
	case f.offset >= f.size:
		return 0, io.EOF
	}
	if f.source == nil {
		if err := f.open(); err != nil {
			f.failed = err
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), f.size-f.offset)]
	n, err := f.plain.Read(p)
	f.offset += int64(n)
	if err == io.EOF && f.offset < f.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		f.failed = fileError(err)
		return n, f.failed
	}
	return n, nil // the end is told by the size
}

// open begins at the package that holds the offset.
func (f *OpenedFile) open() error {
	first := f.offset / filePackage
	source, err := f.from(first * (filePackage + fileOverhead))
	if err != nil {
		return err
	}
	config := fileConfig(f.key)
	config.SequenceNumber = uint32(first)
	f.plain, err = sio.DecryptReader(source, config)
	if err == nil {
		_, err = io.CopyN(io.Discard, f.plain, f.offset%filePackage)
	}
	if err != nil {
		return errors.Join(fileError(err), source.Close())
	}
	f.source = source
	return nil
}

// Close ends what is being read; a later Read begins anew.
func (f *OpenedFile) Close() error {
	if f.source == nil {
		return nil
	}
	err := f.source.Close()
	f.source, f.plain = nil, nil
	return err
}

// fileError tells tampering from a medium that does not answer.
func fileError(err error) error {
	var sealed sio.Error
	if errors.As(err, &sealed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("sealed file: %w", eventstore.ErrTampered)
	}
	return fmt.Errorf("sealed file: %w", err)
}
