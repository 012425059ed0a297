package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/domain/document"
	"coffre/handlers/contract"
)

// fileTypes are the types of the files that documents have, by the ends of their
// names.
var fileTypes = map[string]document.MediaType{
	".pdf": document.PDF, ".png": document.PNG, ".jpg": document.JPEG, ".jpeg": document.JPEG, ".xml": document.XML,
}

func newDocumentsAttach(p *program) *cobra.Command {
	var at where
	var org, kind string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "attach FILE", Short: "Upload a file that a document is going to name",
		Long: `Uploads a PDF, PNG, JPEG or XML file of at most 10 MB and prints its id. Name the id in
"attachments" when you issue or update a document, within 24 hours: after that the file is
removed. Without --type the end of the file's name tells what it is; the name itself goes
nowhere.`,
		Example: `  coffre documents attach --data data --org 0220916609 diploma.pdf
  coffre documents attach --data data --org 0220916609 --type application/xml statement`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			media := document.MediaType(kind)
			if kind == "" {
				media = fileTypes[strings.ToLower(filepath.Ext(args[0]))]
			}
			if !slices.Contains(document.MediaTypes, media) {
				return usage("--type is application/pdf, image/png, image/jpeg or application/xml")
			}
			g, err := asIssuer(org)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("read %s: %w", args[0], files.Cause(err))
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			info, err := f.Stat()
			if err != nil {
				return fmt.Errorf("read %s: %w", args[0], files.Cause(err))
			}
			return p.asks(cmd.Context(), at, g, func(c *client.Client) error {
				r, err := client.Read[contract.AttachmentReceipt](c.UploadAttachment(cmd.Context(), contract.UploadAttachmentParams{IdempotencyKey: uuid.New()},
					client.File{MediaType: string(media), Size: info.Size(), Content: f}))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				return p.facts("attachment", r.Body.AttachmentID.String(), "type", r.Body.MediaType, "bytes", strconv.FormatInt(r.Body.Size, 10),
					"name it before", r.Body.KeptUntil.Format(time.RFC3339))
			})
		},
	}
	at.flags(cmd)
	orgFlag(cmd, &org)
	cmd.Flags().StringVar(&kind, "type", "", "media `type` of the file; else by the end of its name")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newDocumentsDownload(p *program) *cobra.Command {
	var at where
	var person who
	var org string
	out := output{pipe: true}
	cmd := &cobra.Command{
		Use: "download ID ATTACHMENT --out FILE", Short: "A file of a document, as its issuer or a holder gets it",
		Long: `Puts a file of a document at --out: whole or not at all, readable by its owner only. --out - is
standard output. A reading by the issuer, or for another person, is on record and the citizen
sees it.`,
		Example: `  coffre documents download --data data --ssin-file ssin.txt --out diploma.pdf 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44 5b0cf7a2-8d51-4c3a-9f0e-1f2a3b4c5d6e`,
		Args:    takes("ID", "ATTACHMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			file, err := parseID("ATTACHMENT", args[1])
			if err != nil {
				return err
			}
			if err := out.check(); err != nil {
				return err
			}
			g, err := person.grant(p)
			if person == (who{}) {
				g, err = asIssuer(org)
			}
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, g, func(c *client.Client) (err error) {
				body, err := client.Stream(c.GetAttachment(cmd.Context(), domain.DocumentID{UUID: id}, domain.AttachmentID{UUID: file}, contract.GetAttachmentParams{}))
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, body.Close()) }()
				copied := func(w io.Writer) error {
					if _, err := io.Copy(w, body); err != nil {
						return fmt.Errorf("download the file: %w", files.Cause(err))
					}
					return nil
				}
				if out.toPipe() {
					return copied(p.Out)
				}
				return out.write(copied)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	orgFlag(cmd, &org)
	out.flags(cmd)
	cmd.MarkFlagsMutuallyExclusive("org", "citizen")
	cmd.MarkFlagsMutuallyExclusive("org", "ssin-file")
	return cmd
}
