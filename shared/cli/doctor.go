package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/fatih/color"
	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var api string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why events do not arrive, and what to do about it",
		Long: "Check everything that an event passes: the data folder of `sipeat serve`, brokers (address, TLS and login),\n" +
			"topics, consumer groups with their members and backlog, dead letters with their reasons, the read model,\n" +
			"notification channels, the issuer of tokens, and the API at --api. Doctor changes nothing and sends no\n" +
			"notification. Each problem comes with a remedy.\n\n" +
			"The exit status is 1 if a check failed, and 0 otherwise. A note is no failure.",
		Example: "  sipeat doctor\n" +
			"  sipeat doctor --api http://127.0.0.1:8080 --brokers kafka1:9092\n" +
			"  sipeat doctor --json | jq '.findings[] | select(.status == \"wrong\")'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), api) },
	}
	c.Flags().StringVar(&api, "api", "", "address of the API, for example http://127.0.0.1:8080")
	a.addJSONFlag(c)
	addFlags(c, "brokers")
	return c
}

// The statuses of a finding.
const (
	well    = "ok"
	noted   = "note"  // worth knowing, not a failure
	wrong   = "wrong" // the exit status is 1
	skipped = "skipped"
)

// finding is the result of a check of one thing.
type finding struct {
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`
}

func good(subject, says string) finding { return finding{Subject: subject, Status: well, Says: says} }

func note(subject, says, remedy string) finding {
	return finding{Subject: subject, Status: noted, Says: says, Remedy: remedy}
}

func fault(subject, says, remedy string) finding {
	return finding{Subject: subject, Status: wrong, Says: says, Remedy: remedy}
}

// check looks at one part.
type check struct {
	part string
	run  func(context.Context) []finding
}

func (a *app) doctor(ctx context.Context, api string) error {
	k := &kafkaChecks{app: a}
	findings := runChecks(ctx, check{"kafka", k.brokers}) // the others use the brokers that can be reached
	findings = append(findings, runChecks(ctx,
		check{"disk", a.checkDisk},
		check{"topics", k.topics},
		check{"groups", k.groups},
		check{"dead letters", k.deadLetters},
		check{"store", k.store},
		check{"notify", a.checkNotifiers},
		check{"issuer", a.checkIssuer},
		check{"api", func(ctx context.Context) []finding { return checkAPI(ctx, api) }})...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	faults := 0
	for _, f := range findings {
		if f.Status == wrong {
			faults++
		}
	}
	if a.json {
		if err := a.writeJSON(map[string]any{"ok": faults == 0, "findings": findings}, "  "); err != nil {
			return err
		}
	} else if err := a.printFindings(findings); err != nil {
		return err
	}
	if faults > 0 {
		return fmt.Errorf("%d of %d checks failed", faults, len(findings))
	}
	return nil
}

// runChecks runs checks concurrently, each for at most [reachTimeout]. The findings are in the order of the checks.
func runChecks(ctx context.Context, checks ...check) (all []finding) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found := make([][]finding, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() { found[i] = c.run(ctx) })
	}
	running.Wait()
	for i, c := range checks {
		for _, f := range found[i] {
			f.Part = c.part
			all = append(all, f)
		}
	}
	return all
}

var paint = map[string]func(string, ...any) string{
	well: color.GreenString, noted: color.YellowString, wrong: color.RedString, skipped: color.HiBlackString,
}

func (a *app) printFindings(findings []finding) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		status := paint[f.Status]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", status("%s", f.Status), f.Part, f.Subject, events.LogText(f.Says))
		if f.Remedy != "" { // painted as well: tabwriter counts the codes of colours
			fmt.Fprintf(table, "%s\t\t\t-> %s\n", status(" "), events.LogText(f.Remedy))
		}
	}
	return table.Flush()
}

// checkDisk checks the data folder of `sipeat serve`, if it exists.
func (a *app) checkDisk(context.Context) []finding {
	dir := a.settings.Serve.Data
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := local.CheckDisk(dir); err != nil {
		return []finding{fault(dir, err.Error(), "free space on this disk; `sipeat serve` recovers without a restart")}
	}
	return []finding{good(dir, "writable, with space left")}
}

// store checks the read model, and that it holds what the consumer groups have committed.
func (k *kafkaChecks) store(ctx context.Context) []finding {
	where := k.settings.Store
	committed := k.committed(ctx) // first: the read model is never behind what comes later
	var err error
	if _, missing := os.Stat(where); where != settings.DynamoDB && errors.Is(missing, fs.ErrNotExist) {
		if err = committed.Check(); err == nil {
			return []finding{note(where, "the file does not exist yet",
				"the first API or worker creates it; is STORE the path that they use?")}
		}
	} else {
		err = k.checkStore(ctx, where, committed)
	}
	switch {
	case errors.Is(err, store.ErrBehind):
		return []finding{fault(where, err.Error(), "`sipeat rebuild --help` says how")}
	case err != nil:
		return []finding{fault(where, err.Error(), "check STORE, and that this user may read and write it")}
	}
	return []finding{good(where, "reachable, and holds what the groups have committed")}
}

func (a *app) checkStore(ctx context.Context, where string, committed store.Marks) error {
	s, err := a.openStore(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Ping(ctx); err != nil {
		return err
	}
	marks, err := s.Marks(ctx)
	if err != nil {
		return err
	}
	for topic, partitions := range committed {
		for partition, mark := range partitions {
			marks.Committed(topic, partition, mark.Committed)
		}
	}
	return marks.Check()
}

// checkNotifiers connects to the notification channels, as far as that sends nothing.
func (a *app) checkNotifiers(ctx context.Context) []finding {
	channels, err := a.openNotifier(ctx)
	if err != nil {
		return []finding{fault("NOTIFY", err.Error(), "add the missing settings, or remove the channel from NOTIFY")}
	}
	found := make([]finding, len(channels))
	var probing sync.WaitGroup
	for i, c := range channels {
		found[i] = good(c.Name, "its settings are complete")
		if prober, ok := c.Notifier.(notify.Prober); ok {
			probing.Go(func() {
				says, err := prober.Probe(ctx)
				if found[i].Says = says; err != nil {
					found[i] = fault(c.Name, err.Error(), "notifications wait until this channel works")
				}
			})
		}
	}
	probing.Wait()
	return found
}

// checkIssuer reads the keys that verify the tokens of staff.
func (a *app) checkIssuer(ctx context.Context) []finding {
	auth := a.settings.Web.Auth
	if auth.Mode != "jwt" {
		return nil
	}
	if err := gateway.New(a.settings.Web, a.logger, time.Now).Ping(ctx); err != nil {
		return []finding{fault(auth.JWT.Issuer, err.Error(),
			"staff get 503 until its keys can be read: check the spelling of JWT_ISSUER, and that it can be reached from here")}
	}
	return []finding{good(auth.JWT.Issuer, "its keys can be read")}
}

func checkAPI(ctx context.Context, address string) []finding {
	if address == "" {
		return []finding{{Status: skipped, Says: "pass its address: --api http://HOST:PORT"}}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err != nil {
		return []finding{fault(address, err.Error(), "for example --api http://127.0.0.1:8080")}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return []finding{fault(address, "no answer: "+err.Error(), "start `sipeat api`, or find in its log why it ended")}
	}
	defer response.Body.Close()
	var problem struct {
		Detail string `json:"detail"`
	}
	_ = json.UnmarshalRead(response.Body, &problem) // the status is enough
	if response.StatusCode != http.StatusOK {
		return []finding{fault(address, strings.TrimSpace(response.Status+" "+problem.Detail),
			"the API runs, but a part that it needs does not: see the other findings and its log")}
	}
	return []finding{good(address, "ready")}
}
