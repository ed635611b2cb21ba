// Package cli is the sipeat command: one file per subcommand. It joins the parts; it has no rules of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

// Exit statuses, for scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or settings
)

// usageError marks what the caller can mend by calling otherwise.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// app is what the subcommands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	settings       settings.Settings
	logger         *slog.Logger
	aws            awsAccess
}

// Main runs the command line and returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interruptible(stderr)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "sipeat: "+strings.ReplaceAll(err.Error(), "\n", "\nsipeat: "))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "sipeat",
		Short: "SipEat's event bus: drink orders and sales leads on Kafka",
		Long: "SipEat's event bus: drink orders and sales leads on Kafka.\n\n" +
			"API endpoints publish typed events to Kafka topics; one consumer per topic takes them into\n" +
			"what can be asked later, and tells people.",
		Example: "  sipeat serve                            everything in one process, on this machine\n" +
			"  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat tail request-created",
		Version:           currentVersion().Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return a.configure(c) },
		Args:              cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(wrongUsage)
	root.AddCommand(a.serveCommand(), a.apiCommand(), a.workerCommand(), a.topicsCommand(), a.doctorCommand(),
		a.publishCommand(), a.tailCommand(), a.invokeCommand(), a.sampleCommand(), a.rebuildCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	for _, c := range allCommands(root) {
		switch c.Name() { // cobra lets an unknown shell and an unknown topic pass
		case "completion":
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		case "help":
			c.Args = func(c *cobra.Command, topic []string) error {
				if _, rest, err := root.Find(topic); err != nil || len(rest) > 0 {
					return fmt.Errorf("there is no command %q", strings.Join(topic, " "))
				}
				return nil
			}
		}
		if args := c.Args; args != nil {
			c.Args = func(c *cobra.Command, given []string) error {
				if err := args(c, given); err != nil {
					return wrongUsage(c, err)
				}
				return nil
			}
		}
	}
	return root
}

func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, allCommands(child)...)
	}
	return all
}

func wrongUsage(c *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w\nsee `%s --help`", err, c.CommandPath())}
}

// configure reads the environment, and .env beside it where there is one. What is set already wins over the file.
func (a *app) configure(c *cobra.Command) error {
	if err := loadDotenv(); err != nil {
		return usageError{err}
	}
	var err error
	if a.settings, err = settings.Read(os.Getenv); err != nil {
		return usageError{err}
	}
	a.log(c)
	if c.Annotations["server"] != "" {
		for _, m := range misspelt(os.Environ()) {
			a.logger.Warn(m.name + " is set and nothing reads it: is it " + m.meant + "?")
		}
	}
	return nil
}

// oneMoment: signals that arrive within it are one. Whoever ends a process group, as `timeout` does, often signals the
// process itself too.
const oneMoment = 100 * time.Millisecond

// interruptible gives a context that ends at the first SIGINT or SIGTERM. The second ends the process at once.
func interruptible(stderr io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		for again := time.Now().Add(oneMoment); ; {
			<-signals
			if time.Now().After(again) {
				break
			}
		}
		fmt.Fprintln(stderr, "sipeat: ended at once; what was not finished is done again at the next start")
		os.Exit(exitFailed)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
