package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var errFileContent = domain.NewError(domain.Invalid, "fileContent", "the content is not a whole file of the type that is said, or has something around it")

// Limits on XML, so that judging it takes little memory.
const (
	maxXMLDepth = 64      // elements within each other
	maxXMLToken = 1 << 20 // bytes of one tag or one text
)

// inspected hands a file on while it judges whether its content is of its type. The
// last byte comes only with the verdict: a file that is not of its type ends with an
// error instead of io.EOF.
type inspected struct {
	from    io.Reader
	kind    document.MediaType
	sum     hash.Hash // SHA-256 of what was handed on
	size    int64
	head    []byte
	tail    []byte
	xml     *xmlJudge
	refused error // a refusal, or what the body ended with
}

// marks are how files of a type begin and, within so many last bytes, end.
var marks = map[document.MediaType]struct {
	begin, end string
	within     int
}{
	document.PDF:  {"%PDF-", "%%EOF", 1024},
	document.PNG:  {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "\x00\x00\x00\x00IEND\xaeB`\x82", 12},
	document.JPEG: {"\xff\xd8\xff", "\xff\xd9", 2},
	document.XML:  {},
}

func inspect(from io.Reader, kind document.MediaType) *inspected {
	i := &inspected{from: from, kind: kind, sum: sha256.New()}
	if kind == document.XML {
		i.xml = judgeXML()
	}
	return i
}

// Read implements io.Reader.
func (i *inspected) Read(p []byte) (int, error) {
	if i.refused != nil {
		return 0, i.refused
	}
	n, err := i.from.Read(p)
	i.sum.Write(p[:n])
	i.size += int64(n)
	switch {
	case !i.saw(p[:n]):
		i.refused = errFileContent
	case err == io.EOF && !i.whole():
		i.refused = errFileContent
	case err != nil && err != io.EOF:
		i.refused = brokenOff(err)
	default:
		return n, err
	}
	return 0, i.refused
}

// brokenOff is the answer to a body that did not come to its end.
func brokenOff(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return edge.TooLarge(large.Limit)
	}
	return edge.BadRequest(contract.InputValidationIssue{Type: edge.IssueSchema, Title: "The body ended before its time", In: contract.IssueLocationBody})
}

// saw reports whether what came so far may still be of the type.
func (i *inspected) saw(p []byte) bool {
	mark := marks[i.kind]
	if missing := len(mark.begin) - len(i.head); missing > 0 {
		i.head = append(i.head, p[:min(missing, len(p))]...)
		if !strings.HasPrefix(mark.begin, string(i.head)) {
			return false
		}
	}
	if i.xml != nil {
		return i.xml.saw(p)
	}
	i.tail = append(i.tail, p...)
	i.tail = append(i.tail[:0], i.tail[max(0, len(i.tail)-mark.within):]...)
	return true
}

// whole reports, at the end, whether it was a file of the type.
func (i *inspected) whole() bool {
	if i.xml != nil {
		return i.xml.whole()
	}
	mark := marks[i.kind]
	return string(i.head) == mark.begin && bytes.Contains(i.tail, []byte(mark.end))
}

// close ends the judging of a file that was not read to its end.
func (i *inspected) close() {
	if i.xml != nil {
		i.xml.whole()
	}
}

// xmlJudge reads XML as it comes, beside whoever hands it on.
type xmlJudge struct {
	to      *io.PipeWriter
	verdict chan error
	said    *error // the verdict, once it is known
}

func judgeXML() *xmlJudge {
	from, to := io.Pipe()
	j := &xmlJudge{to: to, verdict: make(chan error, 1)}
	go func() {
		err := wellFormed(from)
		j.verdict <- err
		_ = from.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // nothing more is read
	}()
	return j
}

func (j *xmlJudge) saw(p []byte) bool {
	_, err := j.to.Write(p)
	return err == nil
}

func (j *xmlJudge) whole() bool {
	_ = j.to.Close() // it never fails
	if j.said == nil {
		err := <-j.verdict
		j.said = &err
	}
	return *j.said == nil
}

var errXML = errors.New("not the XML we take") // the cause would quote it

// active are the names of elements that a browser runs: such a file is none of the
// types there are, whatever it says.
var active = []string{"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}

// wellFormed reads XML to its end: one element, in UTF-8, without a document type,
// without entities of its own, without a style sheet.
func wellFormed(from io.Reader) error {
	in := &tokens{Reader: bufio.NewReader(from)}
	if bom, err := in.Peek(3); err == nil && string(bom) == "\ufeff" {
		if _, err := in.Discard(3); err != nil {
			return errXML
		}
	}
	d := xml.NewDecoder(in)
	depth, roots := 0, 0
	for {
		in.left = maxXMLToken
		token, err := d.Token()
		if err == io.EOF && roots == 1 && depth == 0 {
			return nil
		}
		if err != nil {
			return errXML
		}
		switch t := token.(type) {
		case xml.Directive:
			return errXML
		case xml.ProcInst:
			if t.Target == "xml-stylesheet" {
				return errXML
			}
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(t)) > 0 {
				return errXML
			}
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			if roots > 1 || depth > maxXMLDepth || t.Name.Space == active[0] || t.Name.Space == active[1] ||
				t.Name.Space == "" && (strings.EqualFold(t.Name.Local, "html") || strings.EqualFold(t.Name.Local, "svg")) {
				return errXML
			}
		case xml.EndElement:
			depth--
		}
	}
}

// tokens bounds what the decoder holds of one token.
type tokens struct {
	*bufio.Reader
	left int
}

// ReadByte implements io.ByteReader.
func (t *tokens) ReadByte() (byte, error) {
	if t.left--; t.left < 0 {
		return 0, errXML
	}
	return t.Reader.ReadByte()
}
