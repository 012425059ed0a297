package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
)

// receiptFormats are the standards of a receipt.
var receiptFormats = []string{string(contract.ReceiptFormatKantara), string(contract.ReceiptFormatIso27560)}

// maxReceipt bounds the bytes of a receipt, of which the text that the citizen was shown is the
// most.
const maxReceipt = 1 << 20

func newConsentsReceipt(p *program) *cobra.Command {
	var at where
	var person restrictor
	out := output{pipe: true}
	var lang, format string
	cmd := &cobra.Command{
		Use: "receipt ID --out FILE", Short: "A consent as a signed receipt, or check one",
		Long: `Writes a consent as a receipt that its citizen keeps: who may read what, for which purpose, until
when, what the citizen was shown, and how it is withdrawn. It is a Consent Receipt 1.1 of Kantara or
the record and receipt of ISO/IEC TS 27560 as JSON-LD, signed with the key of the log, with the
proof that the consent is in the log: "consents receipt verify" checks it with no vault and no
network. It is put at --out whole or not at all, readable by its owner only; --out - is standard
output. A file that was formatted anew no longer holds. With --officer a privacy officer asks, which
is on record.`,
		Example: `  coffre consents receipt --data data --ssin-file ssin.txt --out receipt.json 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre consents receipt --data data --ssin-file ssin.txt --format iso27560 --lang fr --out receipt.jsonld 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre consents receipt verify receipt.json --key keys.json`,
		Args:        takes("ID"),
		Annotations: map[string]string{runsItself: "yes"},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			if err := oneOf("format", format, receiptFormats...); err != nil {
				return err
			}
			if err := out.check(); err != nil {
				return err
			}
			ask := contract.GetConsentReceiptParams{Format: contract.ReceiptFormat(format), Lang: domain.Language(lang)}
			return person.ask(cmd.Context(), p, at, func(c *client.Client, _ domain.CitizenID) (err error) {
				body, err := client.Stream(c.GetConsentReceipt(cmd.Context(), domain.ConsentID{UUID: id}, ask))
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, body.Close()) }()
				copied := func(w io.Writer) error {
					if _, err := io.Copy(w, body); err != nil {
						return fmt.Errorf("fetch the receipt: %w", files.Cause(err))
					}
					return nil
				}
				if out.toPipe() {
					return copied(p.Out)
				}
				if err := out.write(copied); err != nil {
					return err
				}
				return p.facts("consent", id.String(), "file", out.name)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	out.flags(cmd)
	langFlag(cmd, &lang)
	cmd.Flags().StringVar(&format, "format", string(contract.ReceiptFormatKantara), strings.Join(receiptFormats, ", "))
	complete(cmd, "format", receiptFormats...)
	cmd.AddCommand(newConsentsReceiptVerify(p))
	return cmd
}

// verifiedReceipt is a receipt that holds, as --json prints it.
type verifiedReceipt struct {
	Holds bool `json:"holds"`
	certificate.Receipt
}

func newConsentsReceiptVerify(p *program) *cobra.Command {
	var keys []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify FILE --key KEY", Short: "Check a receipt of a consent, with no vault and no network",
		Long: `Checks that a receipt is the one that the vault wrote, byte by byte: its signature by the key of
the log, the checkpoint of the log that is in it, and that the grant of the consent is among the
events that the checkpoint covers.

KEY is a public key of the log that you trust: the base64 of it, a file with it, or the file of
coffre erase keys --json, which has former keys, too. It never comes from the receipt.

It ends with 0 when the receipt holds, 1 on an error, 2 on a mistake of usage, 3 when it is another
or proves nothing.`,
		Example: `  coffre consents receipt verify receipt.json --key keys.json
  coffre consents receipt verify - --key keys.json --json < receipt.jsonld`,
		Args: takes("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			trusted, err := p.logKeys(keys)
			if err != nil {
				return err
			}
			var public []ed25519.PublicKey
			for _, k := range trusted {
				public = append(public, k.Public)
			}
			signed, err := p.readFile(args[0], maxReceipt)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("receipt: %w", files.Cause(err))}
			}
			r, err := certificate.ReadReceipt(signed, public...)
			if err != nil {
				return &exitError{exitTamper, err}
			}
			return p.print(asJSON, verifiedReceipt{true, r}, "holds", "yes", "consent", r.Consent.String(), "state", string(r.State), "at", r.StateAt.Format(time.RFC3339),
				"log", r.Origin, "in the log by", r.CheckpointAt.Format(time.RFC3339))
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "a public `key` of the log that you trust, or a file with it")
	required(cmd, "key")
	jsonFlag(cmd, &asJSON)
	return cmd
}
