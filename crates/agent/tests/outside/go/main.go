// A workload that was written against go-spiffe and knows nothing of Avouch. It prints one line for
// each thing that works; whoever runs it compares them.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "soak" {
		duration, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = soak(duration)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "peer" {
		if err := peer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && os.Args[1] == "broker" {
		if err := brokered(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()

	x509, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer x509.Close()
	svid, err := x509.GetX509SVID()
	if err != nil {
		return err
	}
	fmt.Println("x509", svid.ID)

	if err := mutualTLS(x509, svid.ID.TrustDomain()); err != nil {
		return err
	}

	jwt, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer jwt.Close()
	token, err := jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "db"})
	if err != nil {
		return err
	}
	fmt.Println("jwt", token.ID)
	checked, err := jwtsvid.ParseAndValidate(token.Marshal(), jwt, []string{"db"})
	if err != nil {
		return err
	}
	fmt.Println("checked here", checked.ID)
	checked, err = workloadapi.ValidateJWTSVID(ctx, token.Marshal(), "db")
	if err != nil {
		return err
	}
	fmt.Println("checked there", checked.ID)

	// Whoever reads this line changes what the workload may hold.
	fmt.Println("ready")
	for {
		select {
		case <-x509.Updated():
		case <-ctx.Done():
			return ctx.Err()
		}
		changed, err := x509.GetX509SVID()
		if err != nil {
			return err
		}
		if changed.ID != svid.ID {
			fmt.Println("changed", changed.ID)
			return mutualTLS(x509, changed.ID.TrustDomain())
		}
	}
}

// mutualTLS speaks with itself, both sides with the identity of the source.
func mutualTLS(source *workloadapi.X509Source, trustDomain spiffeid.TrustDomain) error {
	authorize := tlsconfig.AuthorizeMemberOf(trustDomain)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.MTLSServerConfig(source, source, authorize))
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- answer(listener) }()

	config := tlsconfig.MTLSClientConfig(source, source, authorize)
	connection, err := tls.Dial("tcp", listener.Addr().String(), config)
	if err != nil {
		return err
	}
	defer connection.Close()
	greeting := make([]byte, 5)
	if _, err := connection.Read(greeting); err != nil {
		return err
	}
	fmt.Println("mutual TLS", string(greeting))
	return <-served
}

func answer(listener net.Listener) error {
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte("hello"))
	return err
}
