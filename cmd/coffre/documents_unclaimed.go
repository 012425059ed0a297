package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newDocumentsUnclaimed(p *program) *cobra.Command {
	var at where
	var org string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "unclaimed", Short: "Uploaded files that no document names yet, oldest first",
		Long: `Lists files that were uploaded and that no document names: of the issuer --org, or of every
issuer for an operator, without --org. Each is removed at the time that is shown unless a document
names it before.`,
		Example: `  coffre documents unclaimed --data data --org 0220916609
  coffre documents unclaimed --data data --why inspection`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g := asOperator
			if org != "" {
				var err error
				if g, err = asIssuer(org); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, g, func(c *client.Client) error {
				t := p.table("ATTACHMENT", "ISSUER", "TYPE", "BYTES", "UPLOADED", "NAME IT BEFORE")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.UnclaimedAttachment, contract.Cursor, error) {
					page, err := client.Read[contract.UnclaimedAttachments](c.ListAttachments(cmd.Context(), contract.ListAttachmentsParams{PageSize: officersPage, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.UnclaimedAttachment) {
					t.row(one.AttachmentID.String(), string(one.Issuer), one.MediaType, strconv.FormatInt(one.Size, 10), one.UploadedAt.Format(time.RFC3339), one.KeptUntil.Format(time.RFC3339))
				})
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&org, "org", "", "enterprise `number` of the issuer (default: every issuer, for an operator)")
	jsonFlag(cmd, &asJSON)
	return cmd
}
