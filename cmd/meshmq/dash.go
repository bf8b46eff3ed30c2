package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
)

func newDash() *cobra.Command {
	var f lookFlags
	var listen string
	cmd := &cobra.Command{
		Use:   "dash [-c ENDPOINT]...",
		Short: "Serve a page that shows what top shows",
		Long: `dash serves one page with what meshmq top shows, and prints its address. The page needs nothing from elsewhere and changes nothing. It listens on the loopback
interface, unless --listen says otherwise: then whoever can reach it may look, over plain HTTP and without a password. It goes on until interrupted or --timeout, where
the exit code is 4 if no monitor has answered.`,
		Example: `  meshmq dash
  meshmq dash -c tcp://127.0.0.1:5570 --listen 127.0.0.1:8080`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _, err := net.SplitHostPort(listen)
			if err != nil {
				return usage(cmd, "--listen %.80q: want HOST:PORT, such as 127.0.0.1:8080, port 0 for a free one", listen)
			}
			if err := f.check(cmd); err != nil {
				return err
			}
			return look(cmd, &f, cmd.ErrOrStderr(), func(l *looking) error { return l.serve(cmd, host, listen) })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "serve the page at `HOST:PORT`")
	return cmd
}

// serve serves the page until the run ends.
func (l *looking) serve(cmd *cobra.Command, host, listen string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	page := watch.NewPage(host, l.interval.Milliseconds())
	server := &http.Server{
		Handler: page, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}
	var serving sync.WaitGroup
	serving.Go(func() { // ended by Close below, and awaited there
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			l.end(err)
		}
	})
	defer serving.Wait()
	defer server.Close()
	if at, err := netip.ParseAddrPort(listener.Addr().String()); err == nil && !at.Addr().IsLoopback() && !l.run.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "listening on %s: whoever can reach it may look\n", at)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "http://%s/\n", listener.Addr()); err != nil {
		return written(err)
	}
	err = l.each(true, func(v watch.View) (bool, error) {
		page.Set(v)
		return true, nil
	})
	if errors.Is(err, errTimeout) && l.seen {
		return nil
	}
	return err
}
