// Package cli is the sipeat command: one file per subcommand, or for two that share their parts. It connects the packages and
// has no logic of its own.
//
// A subcommand is a function that returns a cobra command, listed in [app.command]. When its RunE is called, the settings,
// the Kafka cluster and the logger of the app are set. It opens what it needs, and [Main] closes that.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/joho/godotenv"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"
)

// Exit statuses, for scripts; 0 is success.
const (
	exitFailed = 1
	exitUsage  = 2 // wrong usage or settings
)

type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	json           bool // --json
	server         bool // the command runs until it is stopped

	parsed   bool // the command line is correct
	settings settings.Settings
	cluster  settings.Kafka
	logger   *slog.Logger
	aws      awsAccess
	outage   rate.Sometimes // of its log line

	// What functions need, opened in parts.go.
	store     store.Store
	model     string // where the read model is, once it is open, as STORE says it
	served    string // the data folder, in `sipeat serve`
	claims    store.Claims
	publisher *kafka.Publisher
	events    bus.Publisher // the publisher, observed
	notifier  notify.Channels
	metrics   *observe.Metrics
	tracing   *observe.Tracing      // nil = off
	statuses  func() []kafka.Status // of the consumers that run here; nil = none
	checks    []web.Check           // of readiness, beside those of Kafka and the read model
	running   context.Context       // of a server, until it ends
	stop      context.CancelCauseFunc
	closers   []func(context.Context) error
}

// Main runs the command line and returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal kills the process, unless it arrives with the first: `timeout` signals a process and then its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(100*time.Millisecond, stop) })
	out := &output{Writer: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, aws: awsAccess{timeout: reachTimeout},
		outage: rate.Sometimes{Interval: 10 * time.Second}}
	root := a.command()
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	if err = errors.Join(err, a.close()); !a.server && !errors.Is(err, out.err) { // the reader of a server's output may have gone
		err = errors.Join(err, out.err)
	}
	if err == nil {
		return 0
	}
	text := strings.TrimSpace(err.Error())
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		text = "interrupted: " + text
	}
	if !a.parsed {
		text += fmt.Sprintf("\nsee `%s --help`", c.CommandPath())
	}
	fmt.Fprintln(stderr, "sipeat: "+strings.ReplaceAll(text, "\n", "\nsipeat: "))
	if !a.parsed || errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "sipeat",
		Short: "SipEat's event bus: drink orders and sales leads on Kafka",
		Long: "SipEat's event bus: drink orders and sales leads on Kafka.\n\n" +
			"API endpoints publish typed events to Kafka topics; one consumer per topic projects them into a\n" +
			"queryable read model and sends notifications.",
		Example: "  sipeat serve                            # everything in one process, on this machine\n" +
			"  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat tail request-created",
		Version:       fmt.Sprintf("%s %s %s/%s", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	serve, api, worker, page := a.serveCommand(), a.apiCommand(), a.workerCommand(), a.consoleCommand()
	for _, c := range []*cobra.Command{serve, api, worker, page, a.topicsCommand(), a.doctorCommand(), a.publishCommand(),
		a.tailCommand(), a.deadLettersCommand(), a.invokeCommand(), a.sampleCommand(), a.rebuildCommand(), a.replayCommand(),
		a.docsCommand(), a.journeyCommand(), a.versionCommand()} {
		for _, c := range append(c.Commands(), c) {
			run := c.RunE
			if c.Args == nil {
				c.Args = cobra.NoArgs
			}
			c.RunE = func(c *cobra.Command, args []string) error {
				if err := checkNotEmpty(c.Flags()); err != nil {
					return err
				}
				a.parsed, a.server = true, c == serve || c == api || c == worker || c == page
				if err := a.configure(); err != nil {
					return usageError{err}
				}
				return run(c, args)
			}
		}
		root.AddCommand(c)
	}
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	help.Args = func(_ *cobra.Command, args []string) error { // else it shows that of the program, with status 0
		_, _, err := root.Find(args)
		return err
	}
	return root
}

// checkNotEmpty refuses an empty flag: it is a variable of a script that is not set, and without it the command might do more.
func checkNotEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			err = fmt.Errorf("--%s must not be empty", f.Name)
		}
	})
	return err
}

var settingFlags = map[string]struct{ setting, usage string }{
	"http":    {"SIPEAT_HTTP", "`address` of the API; port 0 takes a free one (default 127.0.0.1:8080)"},
	"kafka":   {"SIPEAT_KAFKA", "`address` of the broker; port 0 takes a free one (default 127.0.0.1:9092)"},
	"data":    {"SIPEAT_DATA", "data `folder` (default .sipeat)"},
	"health":  {"HEALTH", "`address` for /healthz and /readyz, for example 127.0.0.1:8081 (default none)"},
	"brokers": {"KAFKA_BROKERS", "`brokers` as host:port,host:port (default 127.0.0.1:9092)"},
}

// withFlags adds flags that set the variable of a setting in this process, and the flag json.
func (a *app) withFlags(c *cobra.Command, names ...string) *cobra.Command {
	for _, name := range names {
		if name == "json" {
			c.Flags().BoolVar(&a.json, name, false, "write JSON")
			continue
		}
		f := settingFlags[name]
		c.Flags().Func(name, f.usage+"; "+f.setting, func(value string) error {
			if value == "" { // a setting that is empty is its default
				return errors.New("must not be empty")
			}
			return os.Setenv(f.setting, value)
		})
	}
	return c
}

func (a *app) configure() (err error) {
	if err := loadDotenv(); err != nil {
		return err
	}
	if a.settings, err = settings.Read(os.Getenv); err != nil {
		return err
	}
	a.cluster = a.settings.Brokers
	a.cluster.AWSCredentials = a.aws.login
	a.logger = a.newLogger()
	slog.SetDefault(a.logger) // other packages
	return nil
}

// loadDotenv adds the variables of the file .env to the environment. Variables that are already set win.
// Values are literal: $ is not expanded, because it is more often part of a password than a reference.
//
// Errors do not quote the file (godotenv's do), because it holds passwords.
func loadDotenv() error {
	text, err := os.ReadFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf(".env: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	const dollar = "\x00" // godotenv cannot leave $ alone, so it never gets to see one; no variable can hold a NUL
	values, err := godotenv.UnmarshalBytes(bytes.ReplaceAll(text, []byte("$"), []byte(dollar)))
	if err != nil || bytes.Contains(text, []byte(dollar)) {
		return errors.New(".env: invalid syntax: each line must be NAME=value, for example KAFKA_BROKERS=127.0.0.1:9092, " +
			"and each quote that is opened must be closed")
	}
	for name, value := range values {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, strings.ReplaceAll(value, dollar, "$")); err != nil {
			return fmt.Errorf(".env: %w", err)
		}
	}
	return nil
}

// kafkaHelp lists the settings of brokers, read model and AWS.
const kafkaHelp = "" +
	"Kafka: KAFKA_BROKERS, KAFKA_TLS, KAFKA_TLS_CA_FILE, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD.\n" +
	"Read model: STORE, the path of a SQLite file that several processes on this machine may share, or dynamodb.\n" +
	"AWS_MSK_IAM, STORE=dynamodb and NOTIFY=ses use AWS's credentials, found as AWS's own tools find them."

// reachTimeout bounds a request of a command to the brokers, to DynamoDB and to the sources of AWS's credentials.
const reachTimeout = 10 * time.Second

// reach checks the requirements, and leaves the brokers in the cluster that can be used.
func (a *app) reach(ctx context.Context, needs kafka.Requirements) (err error) {
	if a.cluster.Mechanism == settings.AWSMSKIAM {
		if _, err := a.aws.load(ctx); err != nil {
			return fmt.Errorf("KAFKA_SASL_MECHANISM=%s: %w", settings.AWSMSKIAM, err)
		}
	}
	a.cluster, err = kafka.Preflight(ctx, a.cluster, a.logger, needs)
	return err
}

// version is set when a release is built: -ldflags "-X github.com/sipeat/sipeat/shared/cli.version=v1.2.3".
var version = ""

// currentVersion is the release or, without one, Go's version of the commit, or "devel".
func currentVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok && version == "" {
		return strings.Trim(build.Main.Version, "()") // "(devel)"
	}
	return version
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  sipeat version",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(a.stdout, "sipeat", c.Root().Version)
			return err
		},
	}
}
