import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultX509Source;
import java.util.Set;

/** A workload that was written against java-spiffe and knows nothing of Avouch. */
public final class Workload {
    public static void main(String[] arguments) throws Exception {
        try (var x509 = DefaultX509Source.newSource();
                var jwt = DefaultJwtSource.newSource()) {
            SpiffeId before = x509.getX509Svid().getSpiffeId();
            System.out.println("x509 " + before);
            JwtSvid token = jwt.fetchJwtSvid("db");
            System.out.println("jwt " + token.getSpiffeId());
            JwtSvid checked = JwtSvid.parseAndValidate(token.getToken(), jwt, Set.of("db"));
            System.out.println("checked here " + checked.getSpiffeId());
            // Whoever reads this line changes what the workload may hold.
            System.out.println("ready");
            while (x509.getX509Svid().getSpiffeId().equals(before)) {
                Thread.sleep(20);
            }
            System.out.println("changed " + x509.getX509Svid().getSpiffeId());
        }
    }
}
