package main

import (
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/eventstore/backup"
	"coffre/handlers/contract"
)

func newBackupReport(p *program) *cobra.Command {
	var at where
	var asJSON, sure bool
	var taken, sum string
	cmd := &cobra.Command{
		Use: "report --taken TIME --sha256 HEX", Short: "Report a tested backup that the database's own tools made",
		Long: `Tells a vault whose databases are in PostgreSQL or KurrentDB that a backup of its key ring,
made by the database's own tools, was restored elsewhere and tested. The vault cannot check
that: it is your word, and keys trim destroys older versions of the key-encryption key on it.
A vault on one machine takes all its backups itself and refuses; of those that coffre backup
took in PostgreSQL, too, it is backup verify.

TIME is when the backup was begun on the primary server, or the moment up to which its
archive was restored. HEX is the SHA-256 of the backup or of its manifest. On a terminal it
asks; elsewhere --yes says that you are sure.`,
		Example: `  coffre backup report --data data --taken 2026-03-01T02:00:00Z --sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  coffre backup report --data data --taken 2026-03-01T02:00:00Z --sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 --yes`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := beginning("taken", taken)
			if err != nil {
				return err
			}
			if when == nil {
				return usage("--taken is a moment such as 2026-03-01T12:00:00Z")
			}
			var digest backup.Sum
			if err := digest.UnmarshalText([]byte(sum)); err != nil {
				return usage("--sha256 is 64 hexadecimal digits")
			}
			text, err := digest.MarshalText() // in small letters, as the contract has it
			if err != nil {
				return err
			}
			if !sure {
				if err := p.confirm("The vault cannot check that this backup was restored and tested. Type tested to go on: ", "tested"); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				noted, err := client.Read[contract.BackupNote](c.ReportBackupElsewhere(cmd.Context(), contract.ReportBackupElsewhereParams{IdempotencyKey: uuid.New()},
					contract.BackupElsewhere{TakenAt: *when, Sha256: string(text)}))
				if err != nil {
					return err
				}
				n := noted.Body
				return p.print(asJSON, n, "sha256", n.Sha256, "taken", day(n.TakenAt), "reported", day(n.VerifiedAt), "needs key version", strconv.Itoa(n.OldestKeyVersion))
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&taken, "taken", "", "`moment` that is not after the state in the backup, such as 2026-03-01T02:00:00Z")
	cmd.Flags().StringVar(&sum, "sha256", "", "SHA-256 of the backup or of its manifest, in `hexadecimal` digits")
	required(cmd, "taken", "sha256")
	cmd.Flags().BoolVar(&sure, "yes", false, "do not ask")
	jsonFlag(cmd, &asJSON)
	return cmd
}
