package report

import (
	"fmt"
	"io"
	"strconv"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"coffre/domain"
	"coffre/handlers/contract/texts"
)

// sheets is paper of A4 pages, in millimetres. The fonts have the letters of Latin, Greek and
// Cyrillic; they lie in the program, so that every reader shows the same.
type sheets struct {
	pdf     *fpdf.Fpdf
	columns []string // of the table
}

const (
	textFont   = "go"
	textSize   = 9.5
	lineHeight = 4.6
	indent     = 5.0
	margin     = 18.0
	termWidth  = 45.0
)

func newSheets(lang domain.Language) *sheets {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetMargins(margin, margin, margin)
	pdf.SetAutoPageBreak(true, margin)
	pdf.AddUTF8FontFromBytes(textFont, "", goregular.TTF)
	pdf.AddUTF8FontFromBytes(textFont, "B", gobold.TTF)
	pdf.SetLang(string(lang))
	pdf.SetFooterFunc(func() {
		pdf.SetY(-12)
		pdf.SetFont(textFont, "", 8)
		pdf.CellFormat(0, lineHeight, texts.Of(lang, "report.page", strconv.Itoa(pdf.PageNo())), "", 0, "R", false, 0, "")
	})
	return &sheets{pdf: pdf}
}

// text writes a paragraph that begins some way in from the margin.
func (s *sheets) text(in, size float64, style, text string) {
	s.pdf.SetFont(textFont, style, size)
	s.pdf.SetX(margin + in)
	s.pdf.MultiCell(0, size*lineHeight/textSize, text, "", "L", false)
}

func (s *sheets) begin(_ domain.Language, title, made string, _ []section) {
	s.pdf.SetTitle(title, true)
	s.pdf.AddPage()
	s.text(0, 17, "B", title)
	s.pdf.Ln(2)
	s.text(0, textSize, "", made)
}

func (s *sheets) section(of section) {
	s.pdf.Ln(5)
	s.roomFor(4)
	s.pdf.Bookmark(of.heading, 0, -1)
	s.text(0, 13, "B", of.heading)
	s.pdf.Ln(1)
}

// roomFor begins a new page where fewer lines are left.
func (s *sheets) roomFor(lines int) {
	if _, height := s.pdf.GetPageSize(); s.pdf.GetY()+float64(lines)*lineHeight > height-margin {
		s.pdf.AddPage()
	}
}

func (s *sheets) item(heading string) {
	s.pdf.Ln(2)
	s.roomFor(3)
	s.pdf.Bookmark(heading, 1, -1)
	s.text(0, 10.5, "B", heading)
}

func (s *sheets) pair(depth int, term, value string) {
	in := indent * float64(depth)
	s.roomFor(1)
	if value == "" {
		s.text(in, textSize, "B", term)
		return
	}
	s.pdf.SetFont(textFont, "B", textSize)
	s.pdf.SetX(margin + in)
	if s.pdf.GetStringWidth(term) > termWidth-2 {
		s.text(in, textSize, "B", term)
		s.text(in+indent, textSize, "", value)
		return
	}
	s.pdf.CellFormat(termWidth, lineHeight, term, "", 0, "L", false, 0, "")
	s.pdf.SetFont(textFont, "", textSize)
	left := margin + in + termWidth
	s.pdf.SetLeftMargin(left)
	s.pdf.SetX(left)
	s.pdf.MultiCell(0, lineHeight, value, "", "L", false)
	s.pdf.SetLeftMargin(margin)
}

// table remembers what its columns are called: a row is written as pairs under its first cell,
// since six columns do not fit a page in print that all can read.
func (s *sheets) table(_ string, columns []string) { s.columns = columns }

func (s *sheets) row(cells []string) {
	s.roomFor(len(cells))
	s.text(0, textSize, "B", cells[0])
	for i := 1; i < len(cells); i++ {
		if cells[i] != "" {
			s.pair(1, s.columns[i], cells[i])
		}
	}
	s.pdf.Ln(1)
}

func (s *sheets) endTable() {}

func (s *sheets) endItem() {}

func (s *sheets) paragraph(text string) { s.text(0, textSize, "", text) }

func (s *sheets) endSection() {}

func (s *sheets) end(w io.Writer) error {
	if err := s.pdf.Output(w); err != nil {
		return fmt.Errorf("write a PDF: %w", err)
	}
	return nil
}
