package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fatih/color"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/console"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	return a.withFlags(&cobra.Command{
		Use:   "doctor",
		Short: "Find out why events do not arrive, and what to do about it",
		Long: "Check everything that an event passes: brokers (address, TLS and login), topics, consumer groups with their\n" +
			"members and backlog, dead letters with their reasons, the data folder of `sipeat serve`, the read model,\n" +
			"notification channels, and the issuer of tokens. Doctor changes nothing and sends no notification. The exit status\n" +
			"is 1 if a check failed; a note is no failure.",
		Example: "  sipeat doctor --brokers kafka1:9092\n" +
			"  sipeat doctor --json | jq '.findings[] | select(.status == \"wrong\")'",
		RunE: func(c *cobra.Command, _ []string) error { return (&doctor{app: a}).run(c.Context()) },
	}, "json", "brokers")
}

const (
	well  = "ok"
	noted = "note"  // worth knowing, not a failure
	wrong = "wrong" // the exit status is 1
)

// doctor shows the findings as they come or, with --json, at the end.
type doctor struct {
	*app
	part     string
	findings []console.Finding
	failed   int
	groups   []kafka.GroupState
}

var paint = map[string]func(string, ...any) string{well: color.GreenString, noted: color.YellowString, wrong: color.RedString}

func (d *doctor) add(status, subject, says, remedy string) {
	d.findings = append(d.findings, console.Finding{Part: d.part, Subject: subject, Status: status, Says: says, Remedy: remedy})
	if status == wrong {
		d.failed++
	}
	if d.json {
		return
	}
	line := fmt.Sprintf("%s  %-12s  %s  %s\n", paint[status]("%-5s", status), d.part, subject, events.LogText(says))
	if remedy != "" {
		line += fmt.Sprintf("%21s-> %s\n", "", events.LogText(remedy))
	}
	fmt.Fprint(d.stdout, line)
}

// judge adds what is wrong with a subject, or that it is well.
func (d *doctor) judge(subject string, err error, remedy, says string) {
	if err != nil {
		d.add(wrong, subject, err.Error(), remedy)
	} else {
		d.add(well, subject, says, "")
	}
}

func (d *doctor) run(ctx context.Context) error {
	d.check(ctx, "kafka", "", d.checkBrokers)
	if len(d.cluster.Brokers) > 0 {
		d.check(ctx, "topics", "as declared", d.checkTopics)
		d.check(ctx, "groups", "", d.checkGroups)
		d.check(ctx, "dead letters", "none", d.checkDeadLetters)
	}
	d.check(ctx, "disk", "", d.checkDisk)
	d.check(ctx, "store", "", d.checkStore)
	d.check(ctx, "notify", "", d.checkNotifiers)
	d.check(ctx, "issuer", "", d.checkIssuer)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.json {
		if err := d.writeJSON(map[string]any{"ok": d.failed == 0, "findings": d.findings}, indent); err != nil {
			return err
		}
	}
	if d.failed > 0 {
		return fmt.Errorf("%d of %d checks failed", d.failed, len(d.findings))
	}
	return nil
}

// check runs a check for at most [reachTimeout]. none is what it means that it finds nothing to report.
func (d *doctor) check(ctx context.Context, part, none string, check func(context.Context) error) {
	d.part = part
	if d.busy("checking " + part); isTerminal(d.stderr) {
		defer fmt.Fprint(d.stderr, "\x1b[K")
	}
	before := len(d.findings)
	checking, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := check(checking); err != nil && ctx.Err() == nil {
		d.add(wrong, "", err.Error(), "fix the cause, and run doctor again")
	} else if len(d.findings) == before && none != "" {
		d.add(well, "", none, "")
	}
}

// checkBrokers checks the brokers, and leaves those in the cluster that can be used.
func (d *doctor) checkBrokers(ctx context.Context) error {
	if d.cluster.Mechanism == settings.AWSMSKIAM {
		_, _ = d.cluster.AWSCredentials(ctx) // finding them may take longer than a broker waits; the login reports errors
	}
	states, usable := kafka.Brokers(ctx, d.cluster)
	d.cluster = usable
	says := "address ok"
	if d.cluster.TLS {
		says += ", TLS ok"
	}
	if d.cluster.Mechanism != "" {
		says += ", login ok (" + d.cluster.Mechanism + ")"
	}
	for _, s := range states {
		if s.Err == nil {
			d.add(well, s.Address, says, "")
		} else {
			d.add(wrong, s.Address, fmt.Sprintf("%s: %v", s.Stage, s.Err), s.Remedy)
		}
	}
	return nil
}

// checkDisk checks the data folder of `sipeat serve`, if it exists.
func (d *doctor) checkDisk(context.Context) error {
	dir := d.settings.Serve.Data
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		d.judge(dir, local.CheckDisk(dir), "free space there, or let this user write there; `sipeat serve` recovers without a restart",
			"writable, with space left")
		if err := local.CheckLog(brokerFolder(dir)); err != nil {
			d.add(noted, dir, err.Error(), moveToKafka)
		}
	}
	return nil
}

func (d *doctor) checkTopics(ctx context.Context) error {
	states, err := kafka.InspectTopics(ctx, d.cluster, kafka.Topics(events.Catalogue()...)...)
	for _, s := range states {
		if !s.Exists {
			d.add(wrong, s.Topic, "missing", "sipeat topics")
		}
		for _, x := range s.Differences {
			d.add(wrong, s.Topic, fmt.Sprintf("%s is %s and should be %s", x.Setting, x.Have, x.Want), x.Remedy)
		}
	}
	faults, denied := kafka.BrokerFaults(ctx, d.cluster)
	for _, x := range faults {
		d.add(noted, x.Setting, fmt.Sprintf("is %s and should be %s", x.Have, x.Want), x.Remedy)
	}
	if err == nil && denied != nil {
		d.add(noted, "brokers", denied.Error(), "without it doctor cannot check the settings of the brokers")
	}
	return err
}

func (d *doctor) checkGroups(ctx context.Context) (err error) {
	d.groups, err = kafka.Groups(ctx, d.cluster, topicsOfGroups())
	for _, g := range d.groups {
		for _, l := range g.Lost {
			d.add(wrong, g.Group,
				fmt.Sprintf("offsets %d to %d of %s/%d are not in the log any more: %s", l.From, l.To-1, g.Topic, l.Partition, l.Reason),
				"a running worker resumes at the next record and logs the range: restore these events from a backup, or publish them again")
		}
		d.addGroup(g, time.Now())
	}
	return err
}

func (d *doctor) addGroup(g kafka.GroupState, now time.Time) {
	says := fmt.Sprintf("%s, %s, %s to handle on %s",
		g.State, counted(len(g.Owners), "member"), counted(int(g.Lag), "event"), g.Topic)
	if !g.Oldest.IsZero() {
		says += fmt.Sprintf(", the oldest %s old", max(now.Sub(g.Oldest), 0).Round(time.Second))
	}
	switch {
	case len(g.Owners) == 0:
		d.add(wrong, g.Group, says, "nothing consumes "+g.Topic+": start `sipeat worker`, or find in its log why it ended")
	case g.State != "Stable" || g.Lag > 0:
		d.add(noted, g.Group, says, "run doctor again: if it stays so, the worker's log and its /readyz say why")
	default:
		d.add(well, g.Group, says, "")
	}
}

// deadLettersTimeout is below [reachTimeout], so that the check reports what it has read until then.
const deadLettersTimeout = 8 * time.Second

func (d *doctor) checkDeadLetters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deadLettersTimeout)
	defer cancel()
	client := &deadletters.Client{Cluster: d.cluster, Topics: topicNames(), Logger: d.logger}
	open, complete, err := client.ListUpTo(ctx, deadletters.MaxList, false)
	d.addDeadLetters(deadletters.Groups(open, false, time.Time{}), complete)
	return err
}

func (d *doctor) addDeadLetters(groups []deadletters.Group, complete bool) {
	atLeast := ""
	if !complete {
		atLeast = "at least "
		d.add(noted, "", "too many to read all of them here: the numbers below are of a part", "see `sipeat dead-letters list`")
	}
	for _, g := range groups {
		d.add(noted, g.Topic, fmt.Sprintf("%s%s rejected by %s as %s, the newest: %s", atLeast, counted(g.Count, "event"),
			g.Consumer, g.Class, events.OneLine(g.Reason, 200)),
			fmt.Sprintf("see `sipeat dead-letters list --consumer %s --class %s`", word(g.Consumer), word(string(g.Class))))
	}
}

// checkStore checks the read model, and that it holds what the consumer groups have committed.
func (d *doctor) checkStore(ctx context.Context) error {
	where, remedy := d.settings.Store, "check STORE, and that this user may read and write it"
	_, missing := os.Stat(where)
	absent := where != settings.DynamoDB && errors.Is(missing, fs.ErrNotExist)
	marks := store.Marks{}
	if !absent {
		s, err := d.openStore(ctx, where)
		if err == nil {
			marks, err = s.Marks(ctx)
		}
		if err != nil {
			d.add(wrong, where, err.Error(), remedy)
			return nil
		}
	}
	for _, g := range d.groups {
		for partition, offset := range g.Committed {
			marks.Committed(g.Topic, partition, offset)
		}
	}
	says := "reachable"
	if len(d.groups) > 0 {
		says += ", and holds what the groups have committed"
	}
	if err := cmp.Or(marks.CheckProjection(consumers.Projection), marks.Check()); err != nil || !absent {
		d.judge(where, err, "`sipeat rebuild --help` says how", says)
	} else {
		d.add(noted, where, "the file does not exist yet", "the first API or worker creates it; is STORE the path that they use?")
	}
	return nil
}

func (d *doctor) checkIssuer(ctx context.Context) error {
	if auth := d.settings.Web.Auth; auth.Mode == "jwt" {
		d.judge(auth.JWT.Issuer, gateway.New(d.settings.Web, d.logger, time.Now).Ping(ctx),
			"staff get 503 until its keys can be read: check the spelling of JWT_ISSUER, and that it can be reached from here",
			"its keys can be read")
	}
	return nil
}

// checkNotifiers connects to the notification channels, as far as that sends nothing.
func (d *doctor) checkNotifiers(ctx context.Context) error {
	channels, err := d.openNotifier(ctx)
	if err != nil {
		d.add(wrong, "NOTIFY", err.Error(), "add the missing settings, or remove the channel from NOTIFY")
	}
	for _, c := range channels {
		says, err := "its settings are complete", error(nil)
		if prober, ok := c.Notifier.(notify.Prober); ok {
			says, err = prober.Probe(ctx)
		}
		d.judge(c.Name, err, "notifications wait until this channel works", says)
	}
	return nil
}
