package main

import (
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// providerReasons are why another provider is to count.
var providerReasons = []string{
	string(contract.IdentityProviderReasonReplaced), string(contract.IdentityProviderReasonRemapped), string(contract.IdentityProviderReasonCompromised),
	string(contract.IdentityProviderReasonGone), string(contract.IdentityProviderReasonRestored),
}

func newIdentity(p *program) *cobra.Command {
	cmd := group("identity", "See and change who vouches for the vault's callers, with two persons",
		`  coffre identity show --data data
  coffre identity propose --data data --why maintenance --reason replaced --oidc-issuer https://login2.example
  coffre identity approve --url https://vault.example --token-file officer.token 1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		newIdentityShow(p), newIdentityPropose(p), newIdentityApprove(p), newIdentityConfirm(p))
	cmd.SuggestFor = []string{"provider", "oidc"}
	return cmd
}

func newIdentityShow(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show", Short: "The identity provider on record, and the change that waits",
		Example: `  coffre identity show --data data
  coffre identity show --url https://vault.example --token-file officer.token --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				r, err := client.Read[contract.IdentityProviderRecord](c.GetIdentityProvider(cmd.Context()))
				if err != nil {
					return err
				}
				return p.printProvider(asJSON, r.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newIdentityPropose(p *program) *cobra.Command {
	var at where
	var asJSON bool
	var reason string
	cmd := &cobra.Command{
		Use: "propose", Short: "Propose another identity provider, or other settings of it",
		Long: `Proposes who is to vouch for the vault's callers, with the flags or variables with which coffre
serve will be started. A privacy officer for whom the provider on record vouches has to approve
it within 7 days, and within 30 days more a process is started with it, which puts it on record.
For one day after that processes may still be started with the former one.

Where the provider on record is gone for good, or the vault was restored from before a change,
the reason is gone or restored. Then two accounts of the vault's own machine propose and
approve, and until a privacy officer for whom the new provider vouches confirms it, nobody else
is let in and the health is DEGRADED.`,
		Example: `  coffre identity propose --data data --why maintenance --reason replaced --oidc-issuer https://login2.example
  coffre identity propose --url https://vault.example --token-file operator.token --reason remapped \
      --oidc-issuer https://login.example --oidc-claims role=/realm_access/roles
  coffre identity propose --data data --why incident --reason gone --oidc-issuer https://login2.example`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("reason", reason, providerReasons...); err != nil {
				return err
			}
			config, err := vault.ReadOIDC(func(name string) (string, bool) {
				f := cmd.Flags().Lookup(name)
				return f.Value.String(), f.Changed
			}, p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if config == nil {
				return usage("say which provider: --oidc-issuer (COFFRE_OIDC_ISSUER)")
			}
			is, err := config.Provider()
			if err != nil {
				return err
			}
			body := contract.IdentityProviderPropose{
				Provider: contract.IdentityProvider{Issuer: is.Issuer, Audience: is.Audience, Settings: is.Settings}, Reason: contract.IdentityProviderReason(reason),
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				done, err := client.Read[contract.IdentityProviderChange](c.ProposeIdentityProvider(cmd.Context(), contract.ProposeIdentityProviderParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printProviderChange(asJSON, done.Body)
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why: "+strings.Join(providerReasons, ", "))
	for _, s := range vault.OIDCSettings {
		cmd.Flags().String(s.Flag, "", s.Usage)
	}
	_ = cmd.MarkFlagFilename("oidc-ca-file") // only for a flag that is not there
	required(cmd, "reason")
	complete(cmd, "reason", providerReasons...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newIdentityApprove(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "approve CHANGE", Short: "Agree to a change, as another person than who proposed it",
		Long: `Agrees to the change of the identity provider that coffre identity show tells. It takes a
privacy officer's token of the provider on record (--url); a recovery takes another account of the
vault's own machine than the one that proposed it (--data).`,
		Example: `  coffre identity approve --url https://vault.example --token-file officer.token 1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre identity approve --data data --why incident 1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes("CHANGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("CHANGE", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				done, err := client.Read[contract.IdentityProviderChange](c.ApproveIdentityProvider(cmd.Context(), id, contract.ApproveIdentityProviderParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printProviderChange(asJSON, done.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newIdentityConfirm(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "confirm", Short: "Confirm a provider that was recovered, as a privacy officer for whom it vouches",
		Long: `Says that the identity provider with which the vault was recovered is the right one, with a
privacy officer's token of it. Until then nobody else is let in.`,
		Example: `  coffre identity confirm --url https://vault.example --token-file officer.token`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RolePrivacyOfficer}, func(c *client.Client) error {
				done, err := client.Read[contract.IdentityProviderRecord](c.ConfirmIdentityProvider(cmd.Context(), contract.ConfirmIdentityProviderParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				return p.printProvider(asJSON, done.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printProvider(asJSON bool, r contract.IdentityProviderRecord) error {
	facts := []string{"provider", "none: this vault is for trying out"}
	if r.Provider.Issuer != "" {
		facts = append(providerFacts("", r.Provider), "on record since", day(r.Since))
	}
	if !r.Confirmed {
		facts = append(facts, "confirmed", "no: nobody but privacy officers is let in, to confirm it")
	}
	if r.Former.Issuer != "" {
		facts = append(facts, "former provider", r.Former.Issuer, "may be started with until", day(r.FormerUntil))
	}
	if r.Change.ChangeID != uuid.Nil {
		facts = append(facts, changeFacts(r.Change)...)
	}
	return p.print(asJSON, r, facts...)
}

func (p *program) printProviderChange(asJSON bool, c contract.IdentityProviderChange) error {
	return p.print(asJSON, c, changeFacts(c)...)
}

func changeFacts(c contract.IdentityProviderChange) []string {
	facts := append([]string{"change", c.ChangeID.String(), "state", string(c.State), "reason", string(c.Reason)}, providerFacts("proposed ", c.Provider)...)
	return append(facts, "counts until", day(c.Until))
}

func providerFacts(which string, is contract.IdentityProvider) []string {
	return []string{which + "provider", printable(is.Issuer), which + "audience", printable(is.Audience), which + "settings", printable(strings.Join(is.Settings, ", "))}
}
