package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newErase(p *program) *cobra.Command {
	return group("erase", "Forget a document or a citizen, with two persons and proof",
		`  coffre erase request --data data --ssin-file ssin.txt --reason citizenRequest
  coffre erase approve --data data --subject second-officer 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre erase status --data data 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre erase certificate --data data --json 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 > certificate.json
  coffre erase verify certificate.json --key keys.json`,
		newEraseRequest(p), newEraseApprove(p), newEraseStatus(p), newEraseList(p), newEraseDue(p), newEraseCertificate(p), newEraseKeys(p), newEraseVerify(p))
}

func newEraseRequest(p *program) *cobra.Command {
	var at where
	var person who
	var asJSON bool
	var document, reason string
	cmd := &cobra.Command{
		Use: "request", Short: "A citizen asks that a document, or everything of theirs, be forgotten",
		Long: "Nothing is erased before a second person approves.",
		Example: `  coffre erase request --data data --ssin-file ssin.txt --reason citizenRequest
  coffre erase request --data data --ssin-file ssin.txt --reason rectification --document 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.ErasureRequest{Scope: contract.ErasureScopeCitizen, Reason: domain.ReasonCode(reason)}
			if document != "" {
				id, err := parseID("--document", document)
				if err != nil {
					return err
				}
				ask.Scope, ask.DocumentID = contract.ErasureScopeDocument, &domain.DocumentID{UUID: id}
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, id domain.CitizenID) error {
				ask.CitizenID = id
				e, err := client.Read[contract.Erasure](c.RequestErasure(cmd.Context(), contract.RequestErasureParams{IdempotencyKey: uuid.New()}, ask))
				if err != nil {
					return explainWords(cmd.Context(), c, err, askedReason(contract.ReasonKindErasure, reason))
				}
				return p.printErasure(asJSON, e.Body)
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	cmd.Flags().StringVar(&document, "document", "", "`id` of the one document to forget (default: everything)")
	cmd.Flags().StringVar(&reason, "reason", "citizenRequest", "`code` of why, as the registry has it")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printErasure(asJSON bool, e contract.Erasure) error {
	citizen, document := "", ""
	if !e.CitizenID.IsZero() {
		citizen = e.CitizenID.String()
	}
	if !e.DocumentID.IsZero() {
		document = e.DocumentID.String()
	}
	return p.print(asJSON, e, "erasure", e.ErasureID.String(), "of", string(e.Scope), "citizen", citizen, "document", document,
		"state", string(e.State), "reason", string(e.Reason), "requested", day(e.RequestedAt), "approved", day(e.ApprovedAt), "stopped", day(e.StoppedAt), "keys destroyed", day(e.KeysDestroyedAt),
		"final", day(e.FinalAt), "the law obliges to keep", strings.Join(dutiesOf(e), ", "))
}

func dutiesOf(e contract.Erasure) (all []string) {
	for _, d := range e.Duties {
		all = append(all, fmt.Sprintf("document %s (%s, rule %s)", d.DocumentID, d.DocumentType, d.Rule))
	}
	return all
}

// officer is a privacy officer who is one person among several.
type officer struct{ subject string }

func (o *officer) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.subject, "subject", "", "the `name` of the privacy officer, with --data (default: privacyOfficer)")
}

func (o officer) grant() token.Grant {
	return token.Grant{Role: domain.RolePrivacyOfficer, Subject: o.subject}
}

func newEraseApprove(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON, sure bool
	cmd := &cobra.Command{
		Use: "approve ID", Short: "A second person agrees, and the keys are destroyed: there is no way back",
		Long: `Approves an erasure. On a terminal it asks you to type the erasure's id once more;
elsewhere --yes says that you are sure.`,
		Example: `  coffre erase approve --data data --subject second-officer 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre erase approve --data data --yes 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if !sure {
				if err := p.confirm("This destroys keys for good. Type the erasure's id to go on: ", id.String()); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				e, err := client.Read[contract.Erasure](c.ApproveErasure(cmd.Context(), domain.ErasureID{UUID: id}, contract.ApproveErasureParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printErasure(asJSON, e.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().BoolVar(&sure, "yes", false, "do not ask")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// confirm asks a person at the terminal to type a word; without one it refuses.
func (p *program) confirm(question, word string) error {
	if !isTerminal(p.In) {
		return usage("--yes is needed where nobody can be asked")
	}
	fmt.Fprint(p.Err, question)
	line, err := bufio.NewReader(p.In).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != word {
		return usage("not confirmed; nothing was done")
	}
	return nil
}

func newEraseStatus(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status ID", Short: "How far an erasure is",
		Example: `  coffre erase status --data data 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				e, err := client.Read[contract.Erasure](c.GetErasure(cmd.Context(), domain.ErasureID{UUID: id}, contract.GetErasureParams{}))
				if err != nil {
					return err
				}
				return p.printErasure(asJSON, e.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newEraseCertificate(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	cmd := &cobra.Command{
		Use: "certificate ID", Short: "The signed proof of an erasure",
		Example: `  coffre erase certificate --data data 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre erase certificate --data data --json 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 > certificate.json`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				// As it came: what is signed must not lose a member on its way.
				r, err := client.Read[jsontext.Value](c.GetErasureCertificate(cmd.Context(), domain.ErasureID{UUID: id}))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(r.Body)
				}
				var certificate contract.ErasureCertificate
				if json.Unmarshal(r.Body, &certificate) != nil {
					return errCertificate
				}
				return p.printCertificate(certificate)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

var errCertificate = errors.New("the certificate is not what the contract says")

func (p *program) printCertificate(c contract.ErasureCertificate) error {
	if err := p.facts(certified(c)...); err != nil || len(c.Remains) == 0 {
		return err
	}
	fmt.Fprintln(p.Out, "\nWhat stays:") // the facts tell of an error
	for _, r := range c.Remains {
		fmt.Fprintln(p.Out) // sentences, too long for columns
		if err := p.facts("what", r.What, "why", r.Why, "until", string(r.Until)); err != nil {
			return err
		}
	}
	return nil
}

// certified returns the facts of a certificate, for people.
func certified(c contract.ErasureCertificate) []string {
	facts := []string{"erasure", c.ErasureID.String(), "of", string(c.Scope), "citizen", c.CitizenID.String(), "state", string(c.State),
		"keys destroyed", strconv.Itoa(len(c.Keys)), "at", day(c.DestroyedAt), "on record in leaf", strconv.FormatInt(c.Record.Leaf, 10),
		"events now unreadable", strconv.FormatInt(c.UnreadableEvents, 10), "digest over them", fmt.Sprintf("%x", c.Digest)}
	if files := orZero(c.UnreadableAttachments); files > 0 {
		facts = append(facts, "files now unreadable", strconv.FormatInt(files, 10))
	}
	if c.State == contract.ErasureStateFinal {
		facts = append(facts, "key versions trimmed", fmt.Sprintf("up to %d, by %s", c.Trimmed.WrappedBy, day(c.Trimmed.TrimmedAt)))
		for _, k := range c.Copies {
			facts = append(facts, string(k.Kind)+" kept until", fmt.Sprintf("%s (%d days)", k.Until, k.Days))
		}
	}
	return append(facts, "final after", string(c.FinalAfter), "final since", day(c.FinalAt), "signed by", c.SigningKey)
}
