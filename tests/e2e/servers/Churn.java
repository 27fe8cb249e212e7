// SPDX-License-Identifier: Apache-2.0
// A server on the JVM whose heap is allocated, collected and written to by what it is asked: java Churn PORT [MEBIBYTES]
//
// GET /churn/CLIENT/SEED  does some such things with that client's part of the memory, at random by SEED, and answers the digest
//                         of that part: so two servers that each client has asked the same answer the same, however the
//                         clients' requests lie between one another
// GET /                   "ready"
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;

public class Churn {
  static final int CLIENTS = 4;
  static final int[] SIZES = {100, 3_000, 20_000, 300_000};

  static class Part {
    final List<byte[]> blocks = new ArrayList<>();

    Part(long seed, long bytes) {
      Random random = new Random(seed);
      while (bytes > 0) {
        blocks.add(filled(random));
        bytes -= blocks.get(blocks.size() - 1).length;
      }
    }

    static byte[] filled(Random random) {
      byte[] block = new byte[SIZES[random.nextInt(SIZES.length)]];
      random.nextBytes(block);
      return block;
    }

    synchronized String churn(long seed) throws Exception {
      Random random = new Random(seed);
      for (int n = 0; n < 50; ++n) {
        int i = random.nextInt(blocks.size());
        if (random.nextBoolean()) {
          blocks.set(i, filled(random));
        } else {
          byte[] copy = blocks.get(i).clone(); // the old one is garbage
          copy[random.nextInt(copy.length)] ^= (byte) (1 + random.nextInt(255));
          blocks.set(i, copy);
        }
      }
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (byte[] block : blocks) digest.update(block);
      return HexFormat.of().formatHex(digest.digest());
    }
  }

  static void answer(HttpExchange exchange, int status, String text) throws IOException {
    byte[] body = text.getBytes();
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  public static void main(String[] arguments) throws Exception {
    long bytes = (arguments.length > 1 ? Long.parseLong(arguments[1]) : 24) << 20;
    Part[] parts = new Part[CLIENTS];
    for (int i = 0; i < CLIENTS; ++i) parts[i] = new Part(i, bytes / CLIENTS);
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
    server.setExecutor(Executors.newFixedThreadPool(CLIENTS));
    server.createContext("/", exchange -> answer(exchange, 200, "ready"));
    server.createContext("/churn/", exchange -> {
      try {
        String[] words = exchange.getRequestURI().getPath().split("/");
        answer(exchange, 200, parts[Integer.parseInt(words[2])].churn(Long.parseLong(words[3])));
      } catch (Exception e) {
        answer(exchange, 500, e.toString());
      }
    });
    server.start();
  }
}
