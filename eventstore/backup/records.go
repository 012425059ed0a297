package backup

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

// A log that lies in no file is written record by record, all numbers as varints: the form, then
// behind a 1 each record's stream, revision, id, type, microseconds since 1970, and metadata,
// clear facts and sealed part, each after its length plus one (0 is none), and a 0 at the end.
const (
	recordsForm = 1
	recordsPage = 512     // records read at once
	maxRecord   = 4 << 20 // bytes of one part of a record; an event has 512 KiB at most
)

// Records writes the records of a log up to End, the position of one of them or the zero
// Position of an empty log. Each is compared with its checksum as it is read.
type Records struct {
	Ctx   context.Context // bounds WriteTo
	Store eventstore.Store
	End   eventstore.Position
}

// Head returns the end of the log that WriteTo writes. It is for a log whose positions count its
// records.
func (l Records) Head() (Log, error) {
	if l.End.IsZero() {
		return Log{}, nil
	}
	before := eventstore.Position{Commit: l.End.Commit - 1, Prepare: l.End.Prepare - 1}
	for r, err := range l.Store.ReadAll(l.Ctx, before, 1) {
		if err != nil {
			return Log{}, fmt.Errorf("end of the log: %w", err)
		}
		return Log{Records: int64(l.End.Commit), Last: Sum(proof.SumOf(&r)), At: r.Time}, nil
	}
	return Log{}, fmt.Errorf("end of the log: %w", errShortened)
}

var errShortened = errors.New("backup: the log ends before the moment of the backup")

// WriteTo implements io.WriterTo.
func (l Records) WriteTo(w io.Writer) (int64, error) {
	counted := &Counter{W: w}
	out := bufio.NewWriterSize(counted, 64<<10)
	var line []byte
	line = binary.AppendUvarint(line, recordsForm)
	after := eventstore.Position{}
	for after != l.End {
		n := 0
		for r, err := range l.Store.ReadAll(l.Ctx, after, recordsPage) {
			if err != nil {
				return counted.N, fmt.Errorf("read the log: %w", err)
			}
			line = appendRecord(line, r)
			if _, err := out.Write(line); err != nil {
				return counted.N, err
			}
			line, after = line[:0], r.Position
			if n++; after == l.End {
				break
			}
		}
		if n == 0 {
			return counted.N, errShortened
		}
	}
	if _, err := out.Write(append(line, 0)); err != nil {
		return counted.N, err
	}
	return counted.N, out.Flush()
}

// Counter counts what passes to W.
type Counter struct {
	W io.Writer
	N int64 // bytes that W took
}

func (c *Counter) Write(b []byte) (int, error) {
	n, err := c.W.Write(b)
	c.N += int64(n)
	return n, err
}

func appendRecord(b []byte, r eventstore.Record) []byte {
	b = append(b, 1)
	b = appendBytes(b, []byte(r.Stream))
	b = binary.AppendUvarint(b, uint64(r.Revision))
	b = append(b, r.ID[:]...)
	b = appendBytes(b, []byte(r.Type))
	b = binary.AppendVarint(b, r.Time.UnixMicro())
	for _, part := range [][]byte{r.Meta, r.Clear, r.Sealed} {
		if part == nil {
			b = append(b, 0)
			continue
		}
		b = appendBytes(b, part)
	}
	return b
}

func appendBytes(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))+1), part...)
}

// ReadRecords yields what [Records] wrote, without positions, and ErrDamaged for anything else.
func ReadRecords(r io.Reader) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		in := &recordReader{r: bufio.NewReaderSize(r, 64<<10)}
		if form := in.number(); in.err != nil || form != recordsForm {
			yield(eventstore.Record{}, damaged(in.err))
			return
		}
		for {
			switch more := in.number(); {
			case in.err != nil || more > 1:
				yield(eventstore.Record{}, damaged(in.err))
				return
			case more == 0:
				if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
					yield(eventstore.Record{}, damaged(err))
				}
				return
			}
			record := in.record()
			if in.err != nil {
				yield(eventstore.Record{}, damaged(in.err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// recordReader reads until the first error, which it keeps.
type recordReader struct {
	r   *bufio.Reader
	err error
}

func (in *recordReader) record() (r eventstore.Record) {
	r.Stream = eventstore.Stream(in.bytes())
	r.Revision = eventstore.Revision(in.number())
	var id uuid.UUID
	if in.err == nil {
		_, in.err = io.ReadFull(in.r, id[:])
	}
	r.ID = id
	r.Type = string(in.bytes())
	if in.err == nil {
		var micros int64
		micros, in.err = binary.ReadVarint(in.r)
		r.Time = time.UnixMicro(micros).UTC()
	}
	r.Meta, r.Clear, r.Sealed = in.bytes(), in.bytes(), in.bytes()
	return r
}

func (in *recordReader) number() (n uint64) {
	if in.err == nil {
		n, in.err = binary.ReadUvarint(in.r)
	}
	return n
}

func (in *recordReader) bytes() []byte {
	size := in.number()
	if in.err != nil || size == 0 {
		return nil
	}
	if size-1 > maxRecord {
		in.err = errors.New("a record is longer than any")
		return nil
	}
	b := make([]byte, size-1)
	_, in.err = io.ReadFull(in.r, b)
	return b
}
