// A workload that knows go-spiffe and nothing else: it serves, or calls, over mutual TLS.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what, socket, address, trustDomain string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(socket)))
	if err != nil {
		return err
	}
	defer source.Close()
	peers := tlsconfig.AuthorizeMemberOf(spiffeid.RequireTrustDomainFromString(trustDomain))
	if what == "call" {
		conn, err := tls.Dial("tcp", address, tlsconfig.MTLSClientConfig(source, source, peers))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.Copy(os.Stdout, conn)
		return err
	}
	listener, err := tls.Listen("tcp", address, tlsconfig.MTLSServerConfig(source, source, peers))
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			secured := conn.(*tls.Conn)
			if err := secured.Handshake(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			uri := secured.ConnectionState().PeerCertificates[0].URIs[0]
			fmt.Fprintln(conn, "you are", uri)
		}()
	}
}
