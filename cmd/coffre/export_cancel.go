package main

import (
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newExportCancel(p *program) *cobra.Command {
	var at where
	var me officer
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "cancel EXPORT --reason CODE", Short: "Stop an export that waits or is being made, whoever asked for it",
		Long: `Stops an export, in whatever process it is being made, and removes what was written of it. Who
and why is on record. One that is cancelled already stays so; of one that has ended otherwise nothing
is changed. coffre export list shows which are processing.`,
		Example: `  coffre export cancel 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --data data --reason noLongerWanted
  coffre export cancel 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --url https://vault.example --token-file t --reason noLongerWanted --json`,
		Args: takes("EXPORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("EXPORT", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				now, err := client.Read[contract.Export](c.CancelExport(cmd.Context(), id, contract.CancelExportParams{IdempotencyKey: uuid.New()}, contract.ExportCancel{Reason: domain.ReasonCode(reason)}))
				if err != nil {
					return err
				}
				return p.print(asJSON, now.Body, "export", now.Body.ExportID.String(), "state", string(now.Body.Status.State))
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "a `code` of the registry that says why, for the record")
	required(cmd, "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}
