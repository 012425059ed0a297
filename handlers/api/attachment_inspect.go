package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/handlers/api/xmlfile"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var errFileContent = domain.NewError(domain.Invalid, "fileContent", "the content is not a whole file of the type that is said, or has something around it")

// fileInspector is a reader that passes a file on and checks that its content is of its
// type. A file that is not of its type ends with an error instead of io.EOF.
type fileInspector struct {
	from    io.Reader
	kind    document.MediaType
	sum     hash.Hash // SHA-256 of the bytes passed on
	size    int64
	head    []byte
	tail    []byte
	xml     *xmlValidator
	refused error // refusal of the content, or the error that ended the body
}

// fileSignatures are the bytes with which files of a type begin, and those that stand within
// so many last bytes.
var fileSignatures = map[document.MediaType]struct {
	begin, end string
	within     int
}{
	document.PDF:  {"%PDF-", "%%EOF", 1024},
	document.PNG:  {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "\x00\x00\x00\x00IEND\xaeB`\x82", 12},
	document.JPEG: {"\xff\xd8\xff", "\xff\xd9", 2},
	document.XML:  {},
}

// anyFile is the media type of a file whose type its first bytes tell.
const anyFile = "application/octet-stream"

// typedFile returns a reader of the whole file and its type: the one that is said, or the
// one whose signature the file begins with; XML has none, and is what is left.
func typedFile(from io.Reader, said string) (io.Reader, document.MediaType, error) {
	if said != anyFile {
		return from, document.MediaType(said), nil
	}
	file := bufio.NewReaderSize(from, 512)
	for _, kind := range document.MediaTypes {
		begin := fileSignatures[kind].begin
		head, err := file.Peek(len(begin))
		switch {
		case begin != "" && string(head) == begin:
			return file, kind, nil
		case err != nil && err != io.EOF:
			return nil, "", cutOffBody(err)
		}
	}
	return file, document.XML, nil
}

// inspect returns a fileInspector that reads a file of the type. The caller closes it.
func inspect(from io.Reader, kind document.MediaType) *fileInspector {
	i := &fileInspector{from: from, kind: kind, sum: sha256.New()}
	if kind == document.XML {
		i.xml = startXMLValidator()
	}
	return i
}

// Read implements io.Reader.
func (i *fileInspector) Read(p []byte) (int, error) {
	if i.refused != nil {
		return 0, i.refused
	}
	n, err := i.from.Read(p)
	i.sum.Write(p[:n])
	i.size += int64(n)
	switch {
	case !i.accepts(p[:n]):
		i.refused = errFileContent
	case err == io.EOF && !i.complete():
		i.refused = errFileContent
	case err != nil && err != io.EOF:
		i.refused = cutOffBody(err)
	default:
		return n, err
	}
	return 0, i.refused
}

// cutOffBody returns the refusal of a body that ended too early or was too large.
func cutOffBody(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return edge.TooLarge(large.Limit)
	}
	return edge.BadRequest(contract.InputValidationIssue{Type: edge.IssueSchema, Title: "The body ended before its time"})
}

// accepts reports whether the bytes up to and with p may begin a file of the type.
func (i *fileInspector) accepts(p []byte) bool {
	mark := fileSignatures[i.kind]
	if missing := len(mark.begin) - len(i.head); missing > 0 {
		i.head = append(i.head, p[:min(missing, len(p))]...)
		if !strings.HasPrefix(mark.begin, string(i.head)) {
			return false
		}
	}
	if i.xml != nil {
		return i.xml.accepts(p)
	}
	i.tail = append(i.tail, p...)
	i.tail = append(i.tail[:0], i.tail[max(0, len(i.tail)-mark.within):]...)
	return true
}

// complete reports, after the last byte, whether the file is of the type.
func (i *fileInspector) complete() bool {
	if i.xml != nil {
		return i.xml.complete()
	}
	mark := fileSignatures[i.kind]
	return string(i.head) == mark.begin && bytes.Contains(i.tail, []byte(mark.end))
}

// close stops the check of a file that was not read to its end.
func (i *fileInspector) close() {
	if i.xml != nil {
		i.xml.complete()
	}
}

// xmlValidator checks XML in a goroutine of its own while the bytes are passed on.
type xmlValidator struct {
	to      *io.PipeWriter
	verdict chan error
	result  *error // the verdict, once it is known
}

// startXMLValidator starts a check, which ends with complete.
func startXMLValidator() *xmlValidator {
	from, to := io.Pipe()
	j := &xmlValidator{to: to, verdict: make(chan error, 1)}
	go func() {
		err := xmlfile.Check(from)
		j.verdict <- err
		_ = from.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // nothing more is read
	}()
	return j
}

func (j *xmlValidator) accepts(p []byte) bool {
	_, err := j.to.Write(p)
	return err == nil
}

func (j *xmlValidator) complete() bool {
	_ = j.to.Close() // it never fails
	if j.result == nil {
		err := <-j.verdict
		j.result = &err
	}
	return *j.result == nil
}
