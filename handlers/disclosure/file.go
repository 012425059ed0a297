package disclosure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// FindAttachment opens one version of a document and returns the description of one of its
// files, with the file's key; document.ErrNoAttachment when the version has no such file.
func (dis *Discloser) FindAttachment(ctx context.Context, d LoadedDocument, version int, id domain.AttachmentID) (document.Attachment, error) {
	opened, err := dis.OpenVersion(ctx, d, version)
	if err != nil {
		return document.Attachment{}, err
	}
	for _, f := range opened.Files {
		if f.ID == id {
			return f, nil
		}
	}
	return document.Attachment{}, document.ErrNoAttachment
}

// RecordFailed queues the outcome of an access that disclosed nothing because of an error.
// The zero access, of subjects who read their own, has no outcome.
func (dis *Discloser) RecordFailed(in acting.Intent, a access.Authorized, why error) {
	if !a.Access.IsZero() {
		dis.QueueOutcome(in, a, access.Failed, why)
	}
}

const (
	// pieceSize is the number of bytes of a file in memory: one sealed package.
	pieceSize = edge.PieceSize
	// MaxFileTime bounds the time in which a file is sent.
	MaxFileTime = 10 * time.Minute
	// recheckInterval is the time between two looks whether a file that is being sent may
	// still be disclosed, and bounds each of them: what is withdrawn or revoked ends the
	// transfer within twice that.
	recheckInterval = 5 * time.Second
	// maxRecheckFaults is the number of looks in a row that may fail before the transfer
	// ends, because what cannot be read is refused (rule C-3).
	maxRecheckFaults = 2
)

// FileAnswer is the answer that sends a file, or a range of it, in constant memory. Make it
// with [Discloser.OpenFileAnswer]; its Visit methods send it, once.
type FileAnswer struct {
	dis *Discloser
	in  acting.Intent
	document.Attachment
	file  *seal.OpenedFile
	begin []byte // its first bytes, opened before the answer began
	ByteRange
	left    int64 // to be read after begin
	unsent  error // why it did not go to its end, if it did not
	recheck func(context.Context) error
}

var errUnsent = errors.New("a file was not sent to its end")

// OpenFileAnswer returns the answer that sends the range of a file in a Range header, or
// all of it when the header is "". The first piece is opened here, so that a file that
// cannot be read is refused before the answer begins. recheck tells, while the file is
// sent, whether it still may be. The outcome is queued either way.
func (dis *Discloser) OpenFileAnswer(ctx context.Context, in acting.Intent, a access.Authorized, f document.Attachment, header string, recheck func(context.Context) error) (*FileAnswer, error) {
	s := &FileAnswer{dis: dis, in: in, Attachment: f, unsent: errUnsent, recheck: recheck}
	var err error
	if s.ByteRange, err = ParseRange(header, f.Size); err != nil {
		dis.RecordFailed(in, a, err)
		return nil, err
	}
	// It may take longer than a request may; the answer bounds each piece and the whole.
	in.Call.SendFor(MaxFileTime)
	ctx = context.WithoutCancel(ctx)
	s.file = seal.OpenFile(f.Key, f.Size, func(offset int64) (io.ReadCloser, error) { return dis.Blobs.Open(ctx, f.ID.UUID, offset) })
	s.begin = make([]byte, min(s.Length(), pieceSize))
	if _, err = s.file.Seek(s.From, io.SeekStart); err == nil {
		_, err = io.ReadFull(s.file, s.begin)
	}
	if err != nil {
		err = errors.Join(asFault(err), s.file.Close())
		dis.RecordFailed(in, a, err)
		return nil, err
	}
	s.left = s.Length() - int64(len(s.begin))
	in.Call.OnAnswered(func(whole bool) {
		if whole {
			dis.RecordDelivered(in, a)
		} else {
			dis.RecordFailed(in, a, s.unsent)
		}
	})
	return s, nil
}

// asFault returns an error that no caller takes for a refusal: a file that a document names
// is always stored, so its absence is a fault.
func asFault(err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return errors.New("a document names a file that is not stored")
	}
	return err
}

// VisitGetAttachmentResponse implements GetAttachmentResponseObject.
func (s *FileAnswer) VisitGetAttachmentResponse(w http.ResponseWriter) error { return s.send(w) }

// VisitAccessAttachmentResponse implements AccessAttachmentResponseObject.
func (s *FileAnswer) VisitAccessAttachmentResponse(w http.ResponseWriter) error { return s.send(w) }

var fileSuffixes = map[document.MediaType]string{document.PDF: "pdf", document.PNG: "png", document.JPEG: "jpg", document.XML: "xml"}

// send writes the answer. An error breaks the connection off, so that no reader takes the
// beginning of a file for the whole.
func (s *FileAnswer) send(w http.ResponseWriter) (err error) {
	defer clear(s.begin)
	defer clear(s.Key)
	if err := s.in.Call.MaySend(); err != nil { // nothing was: it is told
		s.unsent = err
		return errors.Join(err, s.file.Close())
	}
	defer s.watch()()
	defer func() {
		err = errors.Join(err, s.file.Close())
		if err != nil {
			s.unsent = err
			s.dis.Slog.Warn("a file was not sent to its end", slog.String("operation", s.in.Call.Operation), slog.String("trace", s.in.Call.Trace.String()), slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	h.Set("Content-Type", string(s.Type))
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="attachment-%s.%s"`, s.ID, fileSuffixes[s.Type]))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Accept-Ranges", "bytes")
	w.WriteHeader(s.Head(h))
	for next := s.begin; ; {
		if _, err := w.Write(next); err != nil {
			return fmt.Errorf("send a file: %w", err)
		}
		if s.left == 0 {
			return nil
		}
		if err := s.in.Call.MaySend(); err != nil {
			return fmt.Errorf("open a file: %w", err)
		}
		next = s.begin[:min(s.left, int64(len(s.begin)))]
		if _, err := io.ReadFull(s.file, next); err != nil {
			return asFault(err)
		}
		s.left -= int64(len(next))
	}
}

// watch looks again and again whether the file may still be sent, and breaks the answer off
// when it may not, also while a reader is not taking it. The function that it returns ends
// that, and waits for it.
func (s *FileAnswer) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(recheckInterval)
		defer tick.Stop()
		for faults := 0; ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			look, done := context.WithTimeout(ctx, recheckInterval)
			err := s.recheck(look)
			done()
			var refused *domain.Error
			switch {
			case err == nil:
				faults = 0
				continue
			case ctx.Err() != nil:
				return
			}
			if faults++; errors.As(err, &refused) || faults == maxRecheckFaults {
				s.in.Call.BreakOff(err)
				return
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// ByteRange is what is sent of a file: the whole, or a range of its bytes.
type ByteRange struct {
	From, To int64 // To is not in it
	of       int64 // the file's size
	partial  bool
}

// Whole returns the range that is all of a file of a size in bytes.
func Whole(size int64) ByteRange { return ByteRange{To: size, of: size} }

// Length returns the number of bytes in the range.
func (r ByteRange) Length() int64 { return r.To - r.From }

// Head sets what an answer says of the range, and returns its status (RFC 9110 section 14).
func (r ByteRange) Head(h http.Header) (status int) {
	h.Set("Content-Length", strconv.FormatInt(r.Length(), 10))
	if !r.partial {
		return http.StatusOK
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.From, r.To-1, r.of))
	return http.StatusPartialContent
}

// ParseRange reads a Range header (RFC 9110 section 14) for a file of a size in bytes. What is
// not one range of bytes asks for the whole. It refuses a range that begins after the file's end.
func ParseRange(header string, size int64) (ByteRange, error) {
	spec, bytes := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !bytes || !dash || strings.Contains(last, ",") {
		return Whole(size), nil
	}
	a, okA := parseOffset(first)
	b, okB := parseOffset(last)
	switch {
	case first == "" && okB: // the last b bytes
		a, b = max(0, size-b), size-1
	case okA && last == "":
		b = size - 1
	case !okA || !okB || b < a:
		return Whole(size), nil
	}
	if a >= size || first == "" && a == size {
		return ByteRange{}, rangeNotSatisfiable(size)
	}
	return ByteRange{From: a, To: min(b, size-1) + 1, of: size, partial: true}, nil
}

func parseOffset(digits string) (int64, bool) {
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// rangeNotSatisfiable returns the refusal of a range that begins after the file's end.
func rangeNotSatisfiable(size int64) error {
	return &edge.Refusal{Problem: contract.Problem{Type: edge.ProblemPrefix + "rangeNotSatisfiable", Title: "Range Not Satisfiable", Status: http.StatusRequestedRangeNotSatisfiable}, Size: size}
}
