package main

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newReleases(p *program) *cobra.Command {
	return group("releases", "Let a person who was erased be known again, with two officers",
		`  coffre releases propose --data data --ssin-file ssin.txt --kind newLife --legal-basis legalObligation
  coffre releases approve --data data --subject second-officer --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre releases list --data data --state proposed
  coffre releases status --data data 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newReleasesPropose(p), newReleasesApprove(p), newReleasesList(p), newReleasesStatus(p))
}

// number is a person whom an officer names by a file with their SSIN.
type number struct{ file string }

func (n *number) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.file, "ssin-file", "", "`file` with the person's SSIN; - is standard input")
	_ = cmd.MarkFlagFilename("ssin-file") // only for a flag that is not there
}

func (n number) read(p *program) (contract.SSIN, error) {
	if n.file == "" {
		return contract.SSIN{}, usage("--ssin-file is needed")
	}
	s, err := p.readSecret(n.file)
	if err != nil {
		return contract.SSIN{}, fmt.Errorf("file with an SSIN: %w", err)
	}
	ssin, err := domain.ParseSSIN(s)
	if err != nil {
		return contract.SSIN{}, fmt.Errorf("file with an SSIN: %w", err)
	}
	return contract.SSIN{SSIN: ssin}, nil
}

func newReleasesPropose(p *program) *cobra.Command {
	var at where
	var me officer
	var of number
	var asJSON bool
	var kind, basis, until string
	cmd := &cobra.Command{
		Use: "propose", Short: "Propose that the memory of an erasure ends, or that a new life begins",
		Long: `Proposes a release of an erased person's number. With --kind end the memory of the
erasure ends at --until, and the person is then like one whom the vault never knew;
with --kind newLife they are registered as soon as another officer approves. The
answer does not tell whether an erasure of the number is remembered.`,
		Example: `  coffre releases propose --data data --ssin-file ssin.txt --kind end --until 2036-12-31 --legal-basis legalObligation
  coffre releases propose --data data --ssin-file ssin.txt --kind newLife --legal-basis legalObligation`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := contract.ReleasePropose{Kind: contract.ReleaseKind(kind), LegalBasis: domain.LegalBasis(basis)}
			var err error
			if body.Until, err = ending("until", until); err != nil {
				return err
			}
			if body.SSIN, err = of.read(p); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Release](c.ProposeRelease(cmd.Context(), contract.ProposeReleaseParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printRelease(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	of.flags(cmd)
	cmd.Flags().StringVar(&kind, "kind", "", "what to do: `end` or newLife")
	cmd.Flags().StringVar(&basis, "legal-basis", "", "`code` of the legal basis, as the registry has it")
	cmd.Flags().StringVar(&until, "until", "", "last `day` of the memory, 2036-12-31, or moment at which it ends, for --kind end")
	_ = cmd.MarkFlagRequired("kind") // only for flags that are not there
	_ = cmd.MarkFlagRequired("legal-basis")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newReleasesApprove(p *program) *cobra.Command {
	var at where
	var me officer
	var of number
	var asJSON bool
	cmd := &cobra.Command{
		Use: "approve ID", Short: "Another officer names the same person and agrees",
		Example: `  coffre releases approve --data data --subject second-officer --ssin-file ssin.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			ssin, err := of.read(p)
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Release](c.ApproveRelease(cmd.Context(), domain.ReleaseID{UUID: id}, contract.ApproveReleaseParams{IdempotencyKey: uuid.New()}, contract.ReleaseApprove{SSIN: ssin}))
				if err != nil {
					return err
				}
				return p.printRelease(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	of.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newReleasesStatus(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status ID", Short: "How far a release is",
		Example: `  coffre releases status --data data 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Release](c.GetRelease(cmd.Context(), domain.ReleaseID{UUID: id}))
				if err != nil {
					return err
				}
				return p.printRelease(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printRelease(asJSON bool, r contract.Release) error {
	citizen := ""
	if !r.CitizenID.IsZero() {
		citizen = r.CitizenID.String()
	}
	return p.print(asJSON, r, "release", r.ReleaseID.String(), "kind", string(r.Kind), "legal basis", string(r.LegalBasis), "until", day(r.Until),
		"state", string(r.State), "proposed", day(r.ProposedAt), "approved", day(r.ApprovedAt), "carried out", day(r.CompletedAt), "citizen", citizen)
}
