import java.io.File;
import java.nio.file.Files;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.ApiResponse;
import org.openapitools.client.api.CitizensApi;
import org.openapitools.client.api.ConsentsApi;
import org.openapitools.client.api.DocumentsApi;
import org.openapitools.client.api.EvidenceApi;
import org.openapitools.client.api.ReferenceApi;
import org.openapitools.client.model.*;

/**
 * A consumer's story, played with the client that openapi-generator makes of the published
 * contract. Organisations, purposes and deliberations are those of deploy/registry. A list
 * that is not set is sent empty, as this client does; where that would mean "no field" the
 * vault refuses it, and null says that the list is not set.
 */
public final class Story {
  static final String FLANDERS = "0316380841";
  static final String RAILWAYS = "0203430576";
  static int passed = 0;

  /** Ends the story when something is wrong. */
  static void must(boolean holds, String what, Object seen) {
    if (!holds) {
      System.err.println("java: " + what + "\nseen: " + seen);
      System.exit(1);
    }
    passed++;
  }

  static ApiClient as(String who) {
    ApiClient client = new ApiClient();
    client.setBasePath(System.getenv("VAULT_URL"));
    if (who != null) client.setAccessToken(System.getenv(who));
    return client;
  }

  static String key() {
    return UUID.randomUUID().toString();
  }

  interface Call {
    void make() throws ApiException;
  }

  /** The problem that a call is refused with. */
  static Problem refused(int status, Call call) throws Exception {
    try {
      call.make();
    } catch (ApiException e) {
      must(e.getCode() == status, "refused with " + status, e.getCode() + " " + e.getResponseBody());
      return Problem.fromJson(e.getResponseBody());
    }
    throw new IllegalStateException("java: a call that must be refused with " + status + " was answered");
  }

  static String position(ApiResponse<?> answer) {
    return answer.getHeaders().get("Coffre-Position").get(0);
  }

  public static void main(String[] args) throws Exception {
    String ssin = System.getenv("SSIN");
    DocumentsApi anybody = new DocumentsApi(as(null));
    DocumentsApi issuer = new DocumentsApi(as("ISSUER"));
    DocumentsApi byLaw = new DocumentsApi(as("BY_LAW"));
    DocumentsApi byConsent = new DocumentsApi(as("BY_CONSENT"));
    ConsentsApi citizen = new ConsentsApi(as("CITIZEN"));

    // Who has no token is told so, in the contract's own problem.
    Problem problem = refused(401, () -> anybody.queryDocuments(null, null, null, new DocumentQuery().sourceReference(null).state(null)));
    must(problem.getType().toString().equals("urn:problem-type:belgif:noAccessToken"), "without a token", problem);

    // An issuer uploads a file as bytes, and issues a document that names it.
    File file = File.createTempFile("interop", ".pdf");
    Files.writeString(file.toPath(), "%PDF-1.7\ntrailer<<>>\n%%EOF\n");
    AttachmentReceipt uploaded = issuer.uploadAttachment(key(), file);
    must(uploaded.getMediaType().equals("application/pdf"), "a file is told to be a PDF", uploaded);
    DocumentIssue issue = new DocumentIssue().ssin(ssin).documentType("householdComposition").sourceReference("interop-java")
        .validFrom(LocalDate.of(2025, 1, 1)).addAttachmentsItem(uploaded.getAttachmentId())
        .content(Map.of("asOf", "2025-01-01", "householdSize", 3,
            "address", Map.of("postalCode", "9999", "municipality", "Nergenshuizen"),
            "members", List.of(Map.of("relation", "partner"), Map.of("relation", "child", "minor", true))));
    ApiResponse<DocumentReceipt> issued = issuer.issueDocumentWithHttpInfo(key(), issue);
    must(issued.getStatusCode() == 201 && issued.getData().getState() == DocumentState.VALID, "issuing", issued.getData());
    UUID document = issued.getData().getDocumentId();
    String wrong = ssin.substring(0, 9) + (ssin.endsWith("00") ? "99" : "00");
    problem = refused(400, () -> issuer.issueDocument(key(), issue.ssin(wrong)));
    must(problem.getIssues().get(0).getName().equals("/ssin") && !problem.toJson().contains(wrong), "the refusal names the member and not the value", problem);

    // A consumer by law asks what is held, and reads it.
    EvidenceAnswer evidence = new EvidenceApi(byLaw.getApiClient()).queryEvidence(key(), new EvidenceQuery().ssin(ssin)
        .procedure("schoolEnrolmentAllowance").purpose("schoolAllowance").legalBasis("publicTask").deliberation("EX-26/010")
        .addNeedsItem(new EvidenceNeed().documentType("householdComposition").fields(null)), position(issued));
    must(evidence.getItems().get(0).getOutcome() == EvidenceOutcome.HELD, "evidence by law", evidence);
    AccessAnswer read = byLaw.accessDocument(document, key(), new AccessRequest().purpose("schoolAllowance")
        .procedure("schoolEnrolmentAllowance").legalBasis("publicTask").deliberation("EX-26/010").addFieldsItem("householdSize"));
    must(read.getContent().keySet().equals(java.util.Set.of("householdSize")), "reading by law", read);

    // A consumer by consent asks twice; the citizen pages through what waits, and grants.
    List<UUID> requested = new ArrayList<>();
    String position = null;
    for (int i = 0; i < 2; i++) {
      ApiResponse<ConsentReceiptShort> asked = new ConsentsApi(byConsent.getApiClient()).requestConsentWithHttpInfo(key(), new ConsentAsk()
          .ssin(ssin).purpose("familyDiscount").addDocumentTypesItem("householdComposition").addFieldsItem("householdSize"));
      must(asked.getStatusCode() == 202, "asking for consent", asked.getData());
      requested.add(0, asked.getData().getConsentId());
      position = position(asked);
    }
    List<UUID> waiting = new ArrayList<>();
    String after = null;
    do {
      Consents page = citizen.listConsentRequests(null, null, null, after, 1, position);
      must(page.getItems().size() == 1, "a page of one request", page);
      waiting.add(page.getItems().get(0).getConsentId());
      after = page.getNextCursor();
    } while (after != null);
    must(waiting.equals(requested), "both requests, the newest first", waiting);
    ConsentReceiptShort granted = citizen.grantConsentRequest(requested.get(0), key(), new ConsentRequestGrant().fields(null).shownText(shownText()));
    must(granted.getState() == ConsentState.GRANTED, "granting", granted);
    AccessRequest discount = new AccessRequest().purpose("familyDiscount").consentId(requested.get(0)).fields(null);
    AccessAnswer byIt = byConsent.accessDocument(document, key(), discount);
    must(((Number) byIt.getContent().get("householdSize")).intValue() == 3, "reading under consent", byIt);

    // The citizen withdraws, and sees who read what.
    ApiResponse<ConsentReceiptShort> withdrawn = citizen.withdrawConsentWithHttpInfo(requested.get(0), key());
    must(withdrawn.getData().getState() == ConsentState.WITHDRAWN, "withdrawing", withdrawn.getData());
    problem = refused(403, () -> byConsent.accessDocument(document, key(), discount));
    must(problem.getType().toString().equals("urn:problem-type:coffre:consentWithdrawn"), "reading after the withdrawal", problem);
    CitizensApi self = new CitizensApi(citizen.getApiClient());
    UUID me = self.getCitizen(new CitizenGet()).getCitizenId();
    AccessLog log = self.getAccessLog(me, null, null, null, null, null, null, null, null, null, null, position(withdrawn));
    List<String> readers = log.getItems().stream().filter(i -> i.getAccessId() != null).map(AccessLogItem::getOrganization).toList();
    must(readers.contains(FLANDERS) && readers.contains(RAILWAYS), "the log names both readers", log);
    System.out.println("java: " + passed + " passed, 0 failed");
    System.exit(0); // okhttp's threads would keep it for a minute
  }

  /** The registered text of the purpose with its places filled in. */
  static ShownText shownText() throws ApiException {
    Registry registry = new ReferenceApi(as(null)).getRegistry(null);
    RegistryConsentText registered = registry.getConsentTexts().stream().filter(t -> t.getPurpose().equals("familyDiscount")).findFirst().orElseThrow();
    String organisation = registry.getOrganizations().stream().filter(o -> o.getEnterpriseNumber().equals(RAILWAYS)).findFirst().orElseThrow().getLabels().getEn();
    String purpose = registry.getPurposes().stream().filter(p -> p.getCode().equals("familyDiscount")).findFirst().orElseThrow().getLabels().getEn();
    String text = registered.getTexts().getEn().replace("{consumer}", organisation).replace("{purpose}", purpose);
    return new ShownText().text(text).language(Language.EN).version(registered.getVersion());
  }
}
